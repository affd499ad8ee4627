-- Where a version's weights come from, one of domain::Origin: `run`, or `import` if they were sent here. Of an imported
-- one `run_id` is its own id, and `work` and `dataset` are JSON null: nobody here knows which rows it was trained on.
alter table version add column origin text not null default 'run';
