//! The scenarios, and the world that each begins with: a fresh relay and people
//! registered with it.
//!
//! **Elsewhere**: how a result is printed is `report`.
//!
//! **Always**: each scenario has a relay of its own, in a data directory of its own.

pub mod crash;
pub mod idle;
pub mod offline;
pub mod online;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tempfile::TempDir;
use xtask::demo::mails::Mails;
use xtask::progress::{Progress, Step};
use xtask::relay::{Relay, Setup};

use crate::link::{Link, Target};
use crate::person::{Pair, Person};
use crate::process::Process;

/// Things done at once while a scenario is set up.
const AT_ONCE: usize = 256;

/// A relay and what belongs to it.
pub struct World {
    relay: Option<Relay>,
    setup: Setup,
    /// How it is reached.
    pub target: Target,
    /// Where its codes go.
    pub mail: Arc<Mails>,
    _folder: TempDir,
}

impl World {
    /// Starts a relay with an empty data directory below `scratch`.
    pub fn start(
        program: &Path,
        scratch: Option<&PathBuf>,
        codes_per_hour: Option<u32>,
    ) -> Result<Self> {
        let folder = match scratch {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        }
        .context("no place for the relay's data")?;
        let mail = Arc::new(Mails::new(folder.path().join("mails")));
        let mut setup = Setup {
            program: program.to_path_buf(),
            data: folder.path().join("data"),
            logs: folder.path().join("logs"),
            listen: "127.0.0.1:0".into(),
            arguments: vec![
                "--mail-dir".into(),
                mail.folder().display().to_string(),
                "--shared-source".into(),
                "127.0.0.1".into(),
            ],
            codes_per_hour,
        };
        let relay = setup.start()?;
        let target = Target::from_url(&relay.url)?;
        setup.listen = format!("127.0.0.1:{}", target.port());
        Ok(Self {
            relay: Some(relay),
            setup,
            target,
            mail,
            _folder: folder,
        })
    }

    /// The relay's process.
    pub fn process(&self) -> Result<Process> {
        let relay = self.relay.as_ref().context("the relay does not run")?;
        Ok(Process { pid: relay.pid() })
    }

    /// Where its data lies.
    pub fn data(&self) -> &Path {
        &self.setup.data
    }

    /// Ends the relay without warning.
    pub fn kill(&mut self) -> Result<()> {
        self.relay.take().context("the relay does not run")?.kill()
    }

    /// Starts the relay again where it was.
    pub fn restart(&mut self) -> Result<()> {
        self.relay = Some(self.setup.start()?);
        Ok(())
    }

    /// Registers `count` people; each comes with the link that did it, not logged in.
    pub async fn people(&self, count: usize, step: &Step) -> Result<Vec<(Person, Link)>> {
        let done = AtomicUsize::new(0);
        futures_util::stream::iter(0..count)
            .map(|number| async move {
                (
                    number,
                    Person::register(number, &self.target, &self.mail).await,
                )
            })
            .buffered(AT_ONCE)
            .map(|(number, registered)| {
                step.say(&format!(
                    "{} of {count} people",
                    done.fetch_add(1, Ordering::Relaxed) + 1
                ));
                registered.with_context(|| format!("person {number} cannot be registered"))
            })
            .try_collect()
            .await
    }

    /// Registers `2 * count` people in `count` pairs, everyone's mailbox link logged in.
    pub async fn pairs(&self, count: usize, progress: Progress) -> Result<Vec<Couple>> {
        let step = progress.step(&format!(
            "registering {} people in {count} groups",
            2 * count
        ));
        let mut people = self.people(2 * count, &step).await?.into_iter();
        let mut couples = Vec::with_capacity(count);
        while let (Some((mut first, mut first_link)), Some((mut second, mut second_link))) =
            (people.next(), people.next())
        {
            first.log_in(&mut first_link).await?;
            second.log_in(&mut second_link).await?;
            let mailboxes = [first.mailbox, second.mailbox];
            let pair = Pair::create(&mut first, &mut first_link, &mailboxes, &self.target).await?;
            couples.push(Couple {
                pair,
                people: [first, second],
                links: [first_link, second_link],
            });
        }
        step.done("");
        Ok(couples)
    }
}

/// A pair with its people and their mailbox links.
pub struct Couple {
    /// Their group.
    pub pair: Pair,
    /// The two.
    pub people: [Person; 2],
    /// Logged in.
    pub links: [Link; 2],
}
