//! `waxwing-relay check`.
//!
//! **Elsewhere**: what is checked is the library's `store::check`.
//!
//! **Always**: nothing is changed, and the report names kinds of records, never what is
//! in them.

use std::io::Write as _;

use waxwing_relay::data_dir::DataDir;
use waxwing_relay::identity::Identity;
use waxwing_relay::store::check::check;
use waxwing_relay::store::embedded::EmbeddedStore;

use crate::arguments;
use crate::serve::{Failure, STORE};

pub(crate) fn run(arguments: &arguments::Check) -> Result<(), Failure> {
    let data = DataDir::open(&arguments.data)?;
    Identity::open_or_create(&data)?;
    let store = EmbeddedStore::open(&data.path().join(STORE))?;
    let report = check(&store)?;
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
    writeln!(
        out,
        "The identity and {} records are as they should be.",
        report.records
    )?;
    Ok(())
}
