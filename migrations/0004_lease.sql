-- Until when the worker that has the run is believed to live; it moves on with every sign of life.
alter table run add column lease_until_ms bigint;

-- Memory the run is predicted to need: runs at work together stay below the server's limit.
alter table run add column memory_bytes bigint not null default 0;
