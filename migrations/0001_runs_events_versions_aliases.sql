-- A run: a durable piece of work.
create table run (
    run_id        text   not null primary key,
    -- `train`, `unlearn`: the same as in `work`, here so that lists can filter by it
    kind          text   not null,
    -- one of domain::Status
    status        text   not null,
    -- name of the model that gets the published version
    model         text   not null,
    -- JSON: domain::Work, every hyperparameter resolved
    work          text   not null,
    -- JSON: domain::DatasetRef, with the digest the run was accepted for
    dataset       text   not null,
    -- decimal: an unsigned 64-bit number does not fit a bigint
    seed          text   not null,
    -- the newest finished epoch in the event log; a rerun is silent up to here
    epoch         bigint not null,
    epochs        bigint not null,
    -- JSON: domain::Best
    best          text,
    -- JSON: domain::RunError
    error         text,
    -- JSON: unlearning report
    report        text,
    -- number of the newest event; events are numbered from 1 without gaps
    last_seq      bigint not null,
    -- the version it published
    version_id    text,
    -- how often it was claimed; also the fence: a worker may write only while this is its own number
    attempt       bigint not null,
    -- how often the process died while it was running
    n_lost        bigint not null,
    -- JSON object, text to text
    tags          text   not null,
    -- seconds after the first start at which it fails
    deadline_s    bigint,
    created_ms    bigint not null,
    -- the first start
    started_ms    bigint,
    finished_ms   bigint
);

-- claiming takes the oldest queued run
create index run_by_status on run (status, run_id);
create index run_by_model on run (model, run_id);

-- The log of a run, and the truth behind every stream.
create table event (
    run_id        text   not null references run (run_id) on delete cascade,
    -- from 1, without gaps within a run
    seq           bigint not null,
    -- one of the durable domain::EventKind
    kind          text   not null,
    -- JSON object as sent to clients, `run` and `seq` included
    data          text   not null,
    at_ms         bigint not null,
    primary key (run_id, seq)
);

-- Immutable weights. The row is the truth; a weight file without one is garbage.
create table version (
    version_id    text   not null primary key,
    model         text   not null,
    -- from 1 within the model
    number        bigint not null,
    -- the run that published it; no foreign key, for the run may be deleted and the version stays
    run_id        text   not null,
    -- the version it was made from by unlearning
    parent_id     text   references version (version_id),
    -- JSON: domain::Work of the publishing run: what its descendants need to know which rows it was trained on
    work          text   not null,
    -- JSON: domain::DatasetRef
    dataset       text   not null,
    -- `sha256:` of the safetensors file
    digest        text   not null,
    size_bytes    bigint not null,
    -- JSON object: measures at publication
    metrics       text   not null,
    created_ms    bigint not null,
    -- set once, never cleared
    revoked_ms    bigint,
    -- what to use instead of this revoked version
    replacement_id text  references version (version_id),
    unique (model, number)
);

create index version_by_parent on version (parent_id);

-- A movable pointer to a version of the same model, `digits@prod`.
create table alias (
    model         text   not null,
    alias         text   not null,
    version_id    text   not null references version (version_id),
    updated_ms    bigint not null,
    primary key (model, alias)
);
