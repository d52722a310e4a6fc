//! What is checked of a registration without the lock.
//!
//! **Elsewhere**: [`super`] checks the code before, and what is stored afterwards.
//!
//! **Always**: a stored roster was verified before it was stored, and is not verified again.

use waxwing_protocol::{
    Exporter,
    ids::{DeviceId, RegistrationId},
    pb,
    roster::Roster,
    signature::{Purpose, registration_message},
};

use crate::{answer::Refused, checker::Checker, directory::of_stored, store::Store};

/// That the roster continues the one that is stored, and that the device signed it.
pub(crate) struct RegistrationCheck {
    pub(super) id: RegistrationId,
    pub(super) device: DeviceId,
    pub(super) exporter: Exporter,
    pub(super) stored: Vec<pb::SignedStatement>,
}

/// A roster with which a registration is finished.
pub(crate) struct FoundRoster {
    pub(super) device: DeviceId,
    /// As it was stored when this began; none where there was none.
    pub(super) before: Option<Roster>,
    pub(super) roster: Roster,
    /// All statements: those that were stored, then the new ones.
    pub(super) statements: Vec<pb::SignedStatement>,
}

impl RegistrationCheck {
    pub(crate) fn run(
        self,
        checker: &mut Checker<'_, impl Store>,
        finish: &pb::FinishRegistration,
    ) -> Result<FoundRoster, Refused> {
        let (id, exporter) = (self.id, self.exporter);
        let found = self.roster(checker, &finish.roster)?;
        check_signature(checker, id, &exporter, &found, finish)?;
        Ok(found)
    }

    /// The roster that `given` says, of which the beginning is `stored`.
    fn roster(
        self,
        checker: &mut Checker<'_, impl Store>,
        given: &[pb::SignedStatement],
    ) -> Result<FoundRoster, Refused> {
        let malformed =
            |error: waxwing_protocol::roster::RosterError| Refused::malformed(&error.to_string());
        let Self {
            device, mut stored, ..
        } = self;
        let same = stored.iter().zip(given);
        let same = same
            .take_while(|(old, new)| old.statement == new.statement)
            .count();
        let (known, new) = (
            stored.get(..same).unwrap_or_default(),
            given.get(same..).unwrap_or_default(),
        );
        if known.is_empty() {
            for statement in given {
                checker.signatures += 1 + u32::from(statement.consent.is_some());
            }
            return Ok(FoundRoster {
                device,
                before: None,
                roster: Roster::verify(given).map_err(malformed)?,
                statements: given.to_vec(),
            });
        }
        let before = of_stored(known)?;
        if !new.is_empty() && known.len() < stored.len() {
            return Err(Refused::unauthorised(
                "the roster does not continue the one that is known",
            ));
        }
        let mut roster = before.clone();
        for statement in new {
            checker.signatures += 1 + u32::from(statement.consent.is_some());
            roster.extend(statement).map_err(malformed)?;
        }
        stored.truncate(same);
        stored.extend_from_slice(new);
        Ok(FoundRoster {
            device,
            before: Some(before),
            roster,
            statements: stored,
        })
    }
}

/// Checks that the device signed the registration.
fn check_signature(
    checker: &mut Checker<'_, impl Store>,
    id: RegistrationId,
    exporter: &Exporter,
    found: &FoundRoster,
    finish: &pb::FinishRegistration,
) -> Result<(), Refused> {
    let roster = &found.roster;
    let device = roster
        .device(found.device)
        .ok_or_else(|| Refused::unauthorised("the code was sent for another device"))?;
    let message = registration_message(exporter, id, &finish.code, roster.account(), roster.head());
    checker.signatures += 1;
    finish
        .signature
        .as_ref()
        .and_then(|signature| {
            let identity = &device.identity;
            identity
                .verify(Purpose::Registration, &message, signature)
                .ok()
        })
        .ok_or_else(|| Refused::unauthorised("the signature does not verify"))
}
