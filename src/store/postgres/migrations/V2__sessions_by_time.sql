-- A user's open sessions are listed in pages, the newest first.
create index sessions_user_created on sessions (user_id, created, id);
drop index sessions_user;
