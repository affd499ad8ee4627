-- What a run at work, paused or forked goes on from. The row is the truth; a file without one is garbage.
create table checkpoint (
    checkpoint_id text   not null primary key,
    run_id        text   not null references run (run_id) on delete cascade,
    -- the place: so many mini-batches of this epoch are done
    epoch         bigint not null,
    batch         bigint not null,
    -- mini-batches in the epoch; as many done means that it is over
    batches       bigint not null,
    -- `sha256:` of the safetensors file
    digest        text   not null,
    size_bytes    bigint not null,
    -- JSON object: what was measured at the end of the epoch, where it is one
    metrics       text,
    created_ms    bigint not null
);

create index checkpoint_by_run on checkpoint (run_id, epoch, batch);
