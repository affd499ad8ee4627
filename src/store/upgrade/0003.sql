-- A paused training, and what it goes on from.
insert into run (run_id, kind, status, model, work, dataset, seed, epoch, epochs, last_seq, attempt, n_lost, tags, priority,
                 created_ms, started_ms) values
('01a221f4-1c00-7000-8000-000000000001', 'train', 'paused', 'stopped', '{"kind":"train","recipe":{"mode":"debug","hidden":64,"epochs":2000,"batch_size":5,"learning_rate":0.0005,"momentum":0.9,"faults":{"misaligned_labels":false,"no_shuffle":true,"output_relu":true,"doubled_hidden_gradient":true,"per_sample_momentum":true},"seed":9}}', '{"name":"digits","version":1,"digest":"sha256:20b3ee9e7814b2ceb27b1451abbae9d162b690dc25e5d0bafa0e583ce2327548","source":"embedded"}',
 '18446744073709551615', 1, 2000, 3, 1, 0, '{}', 2, 1795866000000, 1795866000001);

insert into event (run_id, seq, kind, data, at_ms) values
('01a221f4-1c00-7000-8000-000000000001', 1, 'status', '{"run":"01a221f4-1c00-7000-8000-000000000001","seq":1,"status":"queued"}', 1795866000000),
('01a221f4-1c00-7000-8000-000000000001', 2, 'status', '{"attempt":1,"run":"01a221f4-1c00-7000-8000-000000000001","seq":2,"status":"running"}', 1795866000001),
('01a221f4-1c00-7000-8000-000000000001', 3, 'status', '{"attempt":1,"run":"01a221f4-1c00-7000-8000-000000000001","seq":3,"status":"paused"}', 1795866000002);

insert into checkpoint (checkpoint_id, run_id, epoch, batch, batches, digest, size_bytes, metrics, created_ms) values
('01a221f4-1c00-7000-8000-000000000002', '01a221f4-1c00-7000-8000-000000000001', 1, 9, 9, 'sha256:00', 12, '{"test_accuracy":0.5}', 1795866000002);
