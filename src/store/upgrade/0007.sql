-- Somebody who is told of the ends of runs, and was told of one.
insert into webhook (webhook_id, url, events, secret, created_ms, failing_ms, disabled_ms, disabled_reason, n_dropped) values
('01a221f4-1c00-7000-8000-000000000004', 'https://example.com/', '["done"]', 'whsec_AAAA', 1795866000000, null, null, null, 3);

insert into delivery (delivery_id, webhook_id, run_id, seq, kind, body, status, n_attempts, due_ms, answer_status, error,
                      created_ms, finished_ms) values
('01a221f4-1c00-7000-8000-000000000005', '01a221f4-1c00-7000-8000-000000000004', '01a221f1-58df-71fb-9990-7ebe985cf2a1', 7,
 'done', '{}', 'delivered', 1, null, 204, null, 1795866000000, 1795866000001);
