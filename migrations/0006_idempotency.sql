-- A request that was sent under an `Idempotency-Key`, and its answer.
create table idempotency (
    -- as the client chose it
    idempotency_key text not null,
    -- method and path, as in `POST /runs`: keys of different operations have nothing to do with each other
    operation     text   not null,
    -- SHA-256 of the query and the body, in hexadecimal
    fingerprint   text   not null,
    -- the id of what the request makes, if it makes something: chosen before it is made, so that it is made once
    made_id       text   not null,
    -- of the answer; absent until there is one that is kept
    status        bigint,
    -- JSON object, text to text: of the answer's headers those that are not made anew for each request
    headers       text,
    -- the answer's body; of a problem (status from 400) what it is made of, JSON
    body          text,
    created_ms    bigint not null,
    primary key (idempotency_key, operation)
);

-- the oldest are forgotten
create index idempotency_by_created on idempotency (created_ms);
