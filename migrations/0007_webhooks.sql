-- Somebody who is told of events.
create table webhook (
    webhook_id    text   not null primary key,
    url           text   not null,
    -- JSON array of event kinds
    events        text   not null,
    -- `whsec_` and the signing key in Base64; needed to sign, so it is not a digest
    secret        text   not null,
    created_ms    bigint not null,
    -- the first attempt that failed since the last one that succeeded
    failing_ms    bigint,
    disabled_ms   bigint,
    -- one of domain::DisabledReason
    disabled_reason text,
    -- events it was not told of because too many waited
    n_dropped     bigint not null
);

-- One event for one webhook: written in the event's transaction.
create table delivery (
    delivery_id   text   not null primary key,
    webhook_id    text   not null references webhook (webhook_id) on delete cascade,
    -- the event; no foreign key, for the run may be deleted before everybody is told
    run_id        text   not null,
    seq           bigint not null,
    kind          text   not null,
    -- what is sent, to the byte: every attempt sends the same
    body          text   not null,
    -- one of domain::DeliveryStatus
    status        text   not null,
    n_attempts    bigint not null,
    -- the next attempt; absent once there is none
    due_ms        bigint,
    -- of the last attempt: the answer's status, and why it failed
    answer_status bigint,
    error         text,
    created_ms    bigint not null,
    finished_ms   bigint
);

-- each webhook's next attempt
create index delivery_due on delivery (webhook_id, due_ms, delivery_id);
create index delivery_by_webhook on delivery (webhook_id, status, delivery_id);
