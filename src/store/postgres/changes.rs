//! What was changed lately, whoever did it: what nodes hold in memory, read by the clock of the database.
//!
//! Owns those reads, and the beat that goes with them. `line.rs` owns the connection that they go over.
//!
//! Neither sequences nor timestamps are in the order of commits: a row is stamped when it is written, and seen when its
//! transaction has ended. So each reading goes back behind the one before by more than an acknowledged commit can take.

use std::pin::pin;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::{BEGIN, COMMIT, LOAD, LOADING, PATIENCE_SECONDS, Postgres, Shared, Value, failed, in_time, rows};
use crate::claims::{SessionId, UserId};
use crate::rights::Group;
use crate::store::{Follow, Moment, News, Reply, Revocation, State, StoreError, Sums, Tally};

/// How far a reading goes back behind the one before: as long as a commit may take, and the clock of the database may
/// have been set back meanwhile.
const OVERLAP_MICROS: i64 = 2_000_000 * PATIENCE_SECONDS;

/// The same for a glance: as long as commits take as a rule.
const GLANCE_MICROS: i64 = 250_000;

const CHANGED: &str = "and changed > $1";

type Outcome<T> = Result<T, StoreError>;

/// What nodes hold in memory. `after` is a condition on rows that were changed.
///
/// The moment is taken when the statement arrives, before what it sees.
fn held(after: &str) -> String {
    let nothing = "0, 0, '1970-01-01Z'::timestamptz";
    format!(
        "select 0::smallint, ''::bytea, 0::bigint, 0::bigint, statement_timestamp() \
         union all select 1::smallint, ''::bytea, value, 0, '1970-01-01Z'::timestamptz from facts where name = 'epoch' \
         union all select 2::smallint, ''::bytea, value, 0, '1970-01-01Z'::timestamptz from facts where name = 'forgotten' \
         union all select 3::smallint, ''::bytea, value, 0, '1970-01-01Z'::timestamptz from facts where name = 'groups' \
         union all select 4::smallint, id, 0, 0, until from revocations where kind = 1 and not covered {after} \
         union all select 5::smallint, id, generation, rights_version, until from revocations where kind = 2 {after} \
         union all select 6::smallint, id, {nothing} from revocations where kind = 1 and covered {after} \
         union all select 7::smallint, key, 0, 0, until from counters where true {after}"
    )
}

/// Takes a row of what [`held`] gave.
fn take(news: &mut News, row: &Row) -> Outcome<()> {
    let id = || rows::bytes::<16>(row, 1);
    match rows::at::<i16>(row, 0)? {
        0 => news.moment = Moment(rows::at::<DateTime<Utc>>(row, 4)?.timestamp_micros()),
        1 => {
            let epoch = Some(rows::number(row, 2)?).filter(|epoch| *epoch > 0);
            news.revocations.extend(epoch.map(Revocation::Epoch));
        }
        2 => news.forgotten = DateTime::from_timestamp_micros(rows::at(row, 2)?),
        3 => news.group_changes = rows::number(row, 2)?,
        4 => {
            let id = SessionId::from_bytes(id()?);
            news.revocations.push(Revocation::Session { id, until: rows::at(row, 4)? });
        }
        5 => news.revocations.push(Revocation::User {
            id: UserId::from_bytes(id()?),
            generation: rows::number(row, 2)?,
            rights_version: rows::number(row, 3)?,
            until: rows::at(row, 4)?,
        }),
        6 => news.covered.push(SessionId::from_bytes(id()?)),
        _ => news.tallies.push(Tally { key: id()?, until: rows::at(row, 4)? }),
    }
    Ok(())
}

fn told(found: &[Row]) -> Outcome<News> {
    let mut news = News::default();
    found.iter().try_for_each(|row| take(&mut news, row))?;
    Ok(news)
}

impl Shared {
    /// All that nodes hold in memory, of one moment. Read row by row: there may be millions.
    pub(super) async fn everything(&self) -> Outcome<State> {
        let reading = async {
            let lease = self.pool.lease().await?;
            let client = lease.client()?;
            client.batch_execute(LOAD).await?;
            let mut news = News::default();
            let mut found = pin!(client.query_typed_raw(&held(""), Vec::<(String, Type)>::new()).await?);
            while let Some(row) = found.next().await {
                take(&mut news, &row?)?;
            }
            let groups = format!("select {} from groups g order by g.id", rows::GROUP);
            let groups = client.query_typed(&groups, &[]).await?;
            let groups = groups.iter().map(rows::group).collect::<Outcome<Vec<Group>>>()?;
            client.batch_execute("commit").await?;
            lease.rests();
            lease.give_back();
            Ok(State { groups, ..State::from(news) })
        };
        self.judged(in_time(LOADING, reading).await)
    }
}

impl From<News> for State {
    fn from(news: News) -> Self {
        let News { revocations, covered: _, forgotten, tallies, group_changes, moment } = news;
        Self { revocations, forgotten, tallies, group_changes, moment, groups: Vec::new() }
    }
}

/// What was changed after the instant, seen in the same transaction as a durable sign of life of this node: a server
/// that others have taken the place of cannot make it durable, as its standbys do not answer it any more.
async fn beaten(client: &Client, node: &[u8; 16], after: DateTime<Utc>) -> Result<Vec<Row>, tokio_postgres::Error> {
    let beat = "insert into nodes (id, version, beat) values ($1, $2, clock_timestamp()) \
        on conflict (id) do update set version = excluded.version, beat = excluded.beat";
    let node: [Value; 2] = [(&&node[..], Type::BYTEA), (&env!("CARGO_PKG_VERSION"), Type::TEXT)];
    let text = held(CHANGED);
    let values: [Value; 1] = [(&after, Type::TIMESTAMPTZ)];
    // All of them are on their way at once.
    let (begun, beat, found, ended) = futures_util::join!(
        client.batch_execute(BEGIN),
        client.execute_typed(beat, &node),
        client.query_typed(&text, &values),
        client.batch_execute(COMMIT)
    );
    begun?;
    beat?;
    ended?;
    found
}

/// The instant so far behind the moment.
fn behind(moment: Moment, micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(moment.0.saturating_sub(micros)).unwrap_or(DateTime::UNIX_EPOCH)
}

impl Follow for Postgres {
    fn news(&self, since: Moment) -> Reply<'_, News> {
        async move {
            let after = behind(since, OVERLAP_MICROS);
            let (line, is_another) = self.line.take().await?;
            if is_another {
                // Others may have been lost as well: everything is read again.
                self.shared.incarnation.fetch_add(1, Ordering::SeqCst);
            }
            let client = line.client().ok_or_else(|| StoreError::Failed("a connection is gone".to_owned()))?;
            let found = beaten(client, &self.node, after).await.map_err(|e| failed(&e))?;
            line.answered();
            told(&found)
        }
        .boxed()
    }

    fn glance(&self, since: Moment) -> Reply<'_, News> {
        async move {
            let after = behind(since, GLANCE_MICROS);
            // Not over the line, on which a reading may wait for its sign of life.
            told(&self.shared.rows(&held(CHANGED), &[(&after, Type::TIMESTAMPTZ)]).await?)
        }
        .boxed()
    }

    fn stirred(&self) -> BoxFuture<'_, ()> {
        self.line.called().boxed()
    }

    fn groups(&self) -> Reply<'_, (Vec<Group>, u64)> {
        async move {
            let groups = format!("select {} from groups g order by g.id", rows::GROUP);
            let changes = "select value from facts where name = 'groups'";
            let [groups, changes] = self.shared.at_one_moment([&groups, changes]).await?;
            let groups = groups.iter().map(rows::group).collect::<Outcome<Vec<Group>>>()?;
            let changes = changes.first().map(|row| rows::number(row, 0)).transpose()?;
            Ok((groups, changes.unwrap_or(0)))
        }
        .boxed()
    }

    fn sums(&self, from: DateTime<Utc>) -> Reply<'_, Sums> {
        async move {
            let text = "select kind, count(*)::bigint, \
                coalesce(sum(get_byte(id, 0) * 65536 + get_byte(id, 1) * 256 + get_byte(id, 2)), 0)::bigint, \
                coalesce(sum(generation + rights_version), 0)::bigint, \
                coalesce(sum(floor(extract(epoch from until))), 0)::bigint \
                from revocations where until >= $1 and not covered group by kind";
            let mut sums = Sums::default();
            for row in self.shared.rows(text, &[(&from, Type::TIMESTAMPTZ)]).await? {
                let count = rows::number(&row, 1)?;
                if rows::at::<i16>(&row, 0)? == 1 {
                    sums.sessions = count;
                } else {
                    sums.users = count;
                }
                sums.ids += rows::number(&row, 2)?;
                sums.versions += rows::number(&row, 3)?;
                sums.ends += rows::at::<i64>(&row, 4)?;
            }
            Ok(sums)
        }
        .boxed()
    }

    fn node(&self) -> String {
        rows::to_text(&self.node)
    }

    fn leave(&self) -> Reply<'_, ()> {
        async move {
            let text = "delete from nodes where id = $1 returning id";
            self.shared.durable_rows(text, &[(&&self.node[..], Type::BYTEA)]).await.map(drop)
        }
        .boxed()
    }
}
