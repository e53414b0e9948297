-- What each worker offers, as a JSON list of agents: so that others can tell what nobody takes.

ALTER TABLE boot ADD COLUMN offers TEXT;
