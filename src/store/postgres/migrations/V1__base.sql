-- Names and keys are compared byte by byte; identifiers are 16 bytes.
create table facts (
    name text collate "C" primary key,
    value bigint not null
);
-- Rows that are locked have to be there. `groups` counts the changes of groups, for nodes that follow; `forgotten` is absent until something was.
insert into facts (name, value) values ('epoch', 0), ('life', 0), ('superusers', 0), ('groups', 0);

create table users (
    id bytea primary key,
    version bigint not null,
    username text collate "C" not null,
    name_key text collate "C" not null,
    password text collate "C" not null,
    first_name text collate "C" not null,
    last_name text collate "C" not null,
    email text collate "C" not null,
    address_key text collate "C" not null,
    -- All that a search looks at, in lower case.
    mentions text collate "C" not null,
    email_verified boolean not null,
    is_active boolean not null,
    is_staff boolean not null,
    is_superuser boolean not null,
    generation bigint not null,
    rights_version bigint not null,
    -- 1970 for who never logged in, so that the order needs no case of its own.
    last_login timestamptz not null,
    date_joined timestamptz not null,
    constraint users_name unique (name_key)
);
create index users_address on users (address_key) where address_key <> '';
create index users_joined on users (date_joined, id);
create index users_logged_in on users (last_login, id);
create index users_superusers on users (id) where is_superuser and is_active;

create table permissions (
    name text collate "C" primary key,
    description text collate "C" not null,
    version bigint not null,
    mentions text collate "C" not null
);

create table groups (
    id bytea primary key,
    name text collate "C" not null,
    created timestamptz not null,
    version bigint not null,
    mentions text collate "C" not null,
    constraint groups_name unique (name)
);

create table group_permissions (
    group_id bytea not null references groups on delete cascade,
    permission text collate "C" not null references permissions on delete restrict,
    primary key (group_id, permission)
);
create index group_permissions_permission on group_permissions (permission);

create table memberships (
    user_id bytea not null references users on delete cascade,
    group_id bytea not null references groups on delete restrict,
    primary key (user_id, group_id)
);
create index memberships_group on memberships (group_id, user_id);

create table user_permissions (
    user_id bytea not null references users on delete cascade,
    permission text collate "C" not null references permissions on delete restrict,
    primary key (user_id, permission)
);
create index user_permissions_permission on user_permissions (permission, user_id);

create table sessions (
    id bytea primary key,
    user_id bytea not null references users on delete cascade,
    created timestamptz not null,
    ends timestamptz not null,
    epoch bigint not null,
    address text collate "C" not null,
    agent text collate "C" not null
);
create index sessions_user on sessions (user_id);
create index sessions_ends on sessions (ends);

create table api_tokens (
    id bytea primary key,
    owner_id bytea not null references users on delete cascade,
    name text collate "C" not null,
    scope text[] not null,
    created timestamptz not null,
    ends timestamptz not null,
    epoch bigint not null
);
create index api_tokens_owner on api_tokens (owner_id);
create index api_tokens_ends on api_tokens (ends);

create table challenges (
    user_id bytea not null references users on delete cascade,
    kind smallint not null,
    digest bytea not null,
    address text collate "C" not null,
    asked timestamptz not null,
    primary key (user_id, kind)
);

-- 1: a session or an API token; 2: a user. `changed` is for nodes that follow, and so is what is covered by its user's own.
create table revocations (
    kind smallint not null,
    id bytea not null,
    generation bigint not null,
    rights_version bigint not null,
    until timestamptz not null,
    covered boolean not null default false,
    changed timestamptz not null default clock_timestamp(),
    primary key (kind, id)
);
create index revocations_until on revocations (until);
create index revocations_changed on revocations (changed);

create table counters (
    key bytea primary key,
    until timestamptz not null,
    changed timestamptz not null default clock_timestamp()
);
create index counters_until on counters (until);
create index counters_changed on counters (changed);

create table events (
    at timestamptz not null,
    id bytea not null,
    record text not null,
    primary key (at, id)
);

-- The nodes that follow, and when each of them was last heard of.
create table nodes (
    id bytea primary key,
    version text collate "C" not null,
    beat timestamptz not null
);

-- What an import is about to make and change, while it is neither finished nor taken back.
create table journal (
    place bigint primary key,
    line text not null
);
