-- A request that was answered, and one that was not.
insert into idempotency (idempotency_key, operation, fingerprint, made_id, status, headers, body, created_ms) values
('one', 'POST /runs', 'a1', '01a221f1-58df-71fb-9990-7ebe985cf2a1', 202, '{"location":"/runs/1"}', '{}', 1795866000000),
('two', 'POST /runs', 'a2', '01a221f4-1c00-7000-8000-000000000003', null, null, null, 1795866000000);
