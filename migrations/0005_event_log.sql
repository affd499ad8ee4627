-- The log of all runs as one: a place for every event, in the order of the commits.
-- From 1; 0 only between these two statements. Without gaps, but for events that are gone: of deleted runs, or pruned.
alter table event add column position bigint not null default 0;

-- what there is already: by time, and within a run by number even where the clock was put back
update event set position = placed.position
from (
    select run_id, seq, row_number() over (order by reached_ms, run_id, seq) as position
    from (
        select run_id, seq, max(at_ms) over (partition by run_id order by seq) as reached_ms from event
    ) as dated
) as placed
where placed.run_id = event.run_id and placed.seq = event.seq;

create unique index event_by_position on event (position);

-- One row: where the log of all runs begins and ends.
create table event_log (
    event_log_id  bigint not null primary key,
    -- of the newest event there has ever been: a place is never given twice, even when its event is gone
    last_position bigint not null,
    -- events up to here are not shown any more, and those of runs that had ended by then are pruned
    floor         bigint not null
);

insert into event_log (event_log_id, last_position, floor)
select 1, coalesce(max(position), 0), 0 from event;

-- number of the newest event of the run that was pruned; only its last one stays
alter table run add column pruned_seq bigint not null default 0;

-- pruning takes the runs that ended first
create index run_to_prune on run (finished_ms) where pruned_seq < last_seq - 1;
