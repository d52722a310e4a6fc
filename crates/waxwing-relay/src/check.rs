//! `waxwing-relay check`.
//!
//! **Elsewhere**: the library's `store::check` and the key log do the checking.
//!
//! **Always**: nothing is changed, and the report names kinds of records, never their content.

use std::io::Write as _;
use std::sync::Arc;

use waxwing_relay::data_dir::DataDir;
use waxwing_relay::directory::log::KeyLog;
use waxwing_relay::identity::Identity;
use waxwing_relay::store::check::check;
use waxwing_relay::store::embedded::EmbeddedStore;

use crate::arguments;
use crate::serve::{Failure, STORE};

pub(crate) fn run(arguments: &arguments::Check) -> Result<(), Failure> {
    let data = DataDir::open_to_read(&arguments.data)?;
    let identity = Identity::read(data.path())?;
    let store = Arc::new(EmbeddedStore::open_to_read(&data.path().join(STORE))?);
    let report = check(&*store)?;
    let mut out = std::io::stdout().lock();
    for ((space, damage), count) in &report.damage {
        writeln!(
            out,
            "{}: {count} records {damage} ({})",
            space.name(),
            damage.advice()
        )?;
    }
    if report.damaged() > 0 {
        return Err(Failure::Damaged {
            damaged: report.damaged(),
        });
    }
    let heads = if KeyLog::is_empty(&*store)? {
        0
    } else {
        KeyLog::read(Arc::clone(&store), identity.log_keys()?)?.verify()?
    };
    writeln!(
        out,
        "Nothing is damaged: checked the identity, {} records and {heads} heads of the key log.",
        report.records
    )?;
    Ok(())
}
