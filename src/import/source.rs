//! Where records come from: a dump of Django's, or an export of Signet's own.

use super::django::Dump;
use super::input::Unreadable;
use super::record::Item;
use super::report::Report;
use super::signet::{Backup, hex};

/// A source that was read once and can be read again.
#[derive(Debug)]
pub enum Source {
    /// Django's `dumpdata`.
    Django(Box<Dump>),
    /// Signet's export.
    Signet(Box<Backup>),
}

impl Source {
    /// What it is known by.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Django(dump) => format!("django {} {:?}", hex(&dump.fingerprint), dump.reading()),
            Self::Signet(backup) => format!("signet {}", hex(&backup.fingerprint)),
        }
    }

    /// Records that it has.
    #[must_use]
    pub fn records(&self) -> u64 {
        match self {
            Self::Django(dump) => {
                let (permissions, groups) = dump.counts();
                permissions + groups + dump.users
            }
            Self::Signet(backup) => backup.records,
        }
    }

    /// The epoch of a backup: a restore ends every session of before it.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        match self {
            Self::Django(_) => None,
            Self::Signet(backup) => Some(backup.epoch),
        }
    }

    /// Gives each record to `each`: permissions, then groups, then users.
    ///
    /// # Errors
    /// What `each` finds, and when the source has changed since it was opened.
    pub fn read(&mut self, each: &mut dyn FnMut(Item) -> Result<(), Unreadable>) -> Result<(), Unreadable> {
        match self {
            Self::Django(dump) => dump.read(each),
            Self::Signet(backup) => backup.read(each),
        }
    }

    /// Adds to a report what only the source knows. After it was read.
    pub fn remark(&self, report: &mut Report) {
        match self {
            Self::Django(dump) => {
                report.ignored = dump.ignored.clone();
                report.fields_not_carried = dump.extra_fields.clone();
                if dump.naive_times {
                    let zone = &dump.reading().time_zone;
                    let zone = zone.iana_name().map_or_else(|| format!("{zone:?}"), str::to_owned);
                    report.remarks.push(format!("times without a zone are taken as {zone}; --time-zone names another"));
                }
                if dump.unexplained {
                    let remark = "permissions are named by number, and their rows are not in the dump: dump them too \
                                  (manage.py dumpdata contenttypes auth), or use --natural-foreign";
                    report.remarks.push(remark.to_owned());
                }
                if dump.users == 0 {
                    report.remarks.push(format!("there is no {} in the dump", dump.reading().user_model));
                }
            }
            Self::Signet(_) if report.changes_something() => {
                report.remarks.push("a restore ends every session: everybody has to log in again".to_owned());
            }
            Self::Signet(_) => {}
        }
    }
}
