//! What PostgreSQL must be set to, so that what it confirms is not lost.
//!
//! **Elsewhere**: they are read each time that a lease is taken or renewed.
//!
//! **Always**: where they are not safe, no lease is taken, and a node that leads answers nothing
//! that must be durable until they are.

/// Who sees to it that a confirmed commit survives the loss of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// PostgreSQL's own synchronous replication.
    #[default]
    Synchronous,
    /// Whoever provides the database replicates it below PostgreSQL, and the operator vouches
    /// for that: the settings are not checked.
    Provider,
}

/// As PostgreSQL shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `fsync`.
    pub fsync: String,
    /// `full_page_writes`.
    pub full_page_writes: String,
    /// `synchronous_commit`, of this session.
    pub synchronous_commit: String,
    /// `synchronous_standby_names`.
    pub synchronous_standby_names: String,
}

impl Durability {
    /// What is wrong with the settings, as a sentence for an operator.
    ///
    /// # Errors
    /// That sentence.
    pub fn check(self, shown: &Shown) -> Result<(), String> {
        if self == Self::Provider {
            return Ok(());
        }
        let is_durable = ["on", "remote_apply"].contains(&shown.synchronous_commit.as_str());
        let faults = [
            ("fsync", shown.fsync == "on"),
            ("full_page_writes", shown.full_page_writes == "on"),
            ("synchronous_commit", is_durable),
        ];
        if let Some((setting, _)) = faults.iter().find(|(_, is_right)| !is_right) {
            return Err(format!("{setting} is off: set it to on"));
        }
        if shown.synchronous_standby_names.trim().is_empty() {
            return Err(
                "synchronous_standby_names is empty, so PostgreSQL confirms what only one \
                 machine has: name its standbys (with Patroni: synchronous_mode and \
                 synchronous_mode_strict), or set durability = \"provider\" if the database is \
                 replicated in another way"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(change: impl FnOnce(&mut Shown)) -> Shown {
        let on = || "on".to_owned();
        let mut shown = Shown {
            fsync: on(),
            full_page_writes: on(),
            synchronous_commit: on(),
            synchronous_standby_names: "ANY 1 (one, two)".to_owned(),
        };
        change(&mut shown);
        shown
    }

    #[test]
    fn settings_that_could_lose_commits_are_refused() {
        let check = |change: fn(&mut Shown)| Durability::Synchronous.check(&shown(change));
        check(|_| ()).unwrap();
        check(|shown| shown.synchronous_commit = "remote_apply".to_owned()).unwrap();
        for weak in ["off", "local", "remote_write"] {
            let mut shown = shown(|_| ());
            shown.synchronous_commit = weak.to_owned();
            Durability::Synchronous.check(&shown).unwrap_err();
        }
        check(|shown| shown.fsync = "off".to_owned()).unwrap_err();
        check(|shown| shown.full_page_writes = "off".to_owned()).unwrap_err();
        let alone = |shown: &mut Shown| shown.synchronous_standby_names = " ".to_owned();
        assert!(check(alone).unwrap_err().contains("durability"));
        Durability::Provider.check(&shown(alone)).unwrap();
    }
}
