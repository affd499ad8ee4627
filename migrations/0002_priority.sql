-- Which queued run is claimed first: the place of domain::Priority in its declaration, 0 goes first.
-- 1 (`interactive`) is what runs from before there was a choice had.
alter table run add column priority bigint not null default 1;

-- claiming takes the oldest of the first priority
drop index run_by_status;
create index run_by_status on run (status, priority, run_id);
