//! What a message's two octets about itself say: how it is written (TP-DCS, TS 23.038 section 4)
//! and by what it is to be handled (TP-PID, TS 23.040 section 9.2.3.9).
//!
//! **Elsewhere**: the alphabets are in [`crate::alphabet`].
//!
//! **Always**: every octet means something; what is reserved is read as the specification tells
//! receivers to.

/// TP-DCS: how the user data is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataCoding(pub u8);

/// What the user data consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Characters of seven bits.
    Septets,
    /// Octets that a program understands.
    Octets,
    /// Characters of sixteen bits.
    Utf16,
}

/// Where a phone is asked to put a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// On the screen, at once, and nowhere else: "flash".
    Flash,
    /// In the phone.
    Phone,
    /// On the SIM card.
    Sim,
    /// In what is connected to the phone.
    Equipment,
}

impl DataCoding {
    /// Septets of the default alphabet, of no class.
    pub const SEPTETS: Self = Self(0x00);
    /// Octets, of no class.
    pub const OCTETS: Self = Self(0x04);
    /// UTF-16, of no class.
    pub const UTF16: Self = Self(0x08);

    /// What the user data consists of. Reserved codings are read as the default alphabet, as
    /// section 4 says.
    pub fn coding(self) -> Coding {
        match self.0 >> 4 {
            0b0000..=0b0111 => match (self.0 >> 2) & 0b11 {
                0b01 => Coding::Octets,
                0b10 => Coding::Utf16,
                _ => Coding::Septets,
            },
            0b1110 => Coding::Utf16,
            0b1111 if self.0 & 0b0100 != 0 => Coding::Octets,
            _ => Coding::Septets,
        }
    }

    /// Whether it is compressed (TS 23.042), which nobody ever did.
    pub fn compressed(self) -> bool {
        self.0 >> 7 == 0 && self.0 & 0x20 != 0
    }

    /// Where it is to be put, if that is said.
    pub fn class(self) -> Option<Class> {
        let says = match self.0 >> 4 {
            0b0000..=0b0111 => self.0 & 0x10 != 0,
            0b1111 => true,
            _ => false,
        };
        says.then_some(match self.0 & 0b11 {
            0 => Class::Flash,
            1 => Class::Phone,
            2 => Class::Sim,
            _ => Class::Equipment,
        })
    }

    /// What it says of a mailbox, if anything.
    pub fn waiting(self) -> Option<Waiting> {
        matches!(self.0 >> 4, 0b1100..=0b1110).then_some(Waiting {
            mailbox: Mailbox::numbered(self.0),
            something: self.0 & 0x08 != 0,
            discard: self.0 >> 4 == 0b1100,
        })
    }
}

/// What a message says of a mailbox (TS 23.038 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub mailbox: Mailbox,
    /// Whether something waits there; if not, the phone's sign for it is to go out.
    pub something: bool,
    /// Whether the phone is to throw the text away.
    pub discard: bool,
}

/// Where something may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailbox {
    /// Voice mail.
    Voice,
    /// Fax.
    Fax,
    /// E-mail.
    Email,
    /// Another one.
    Other,
}

impl Mailbox {
    /// From two bits.
    pub fn numbered(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::Voice,
            1 => Self::Fax,
            2 => Self::Email,
            _ => Self::Other,
        }
    }
}

/// TP-PID: what is to be done with the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolId(pub u8);

impl ProtocolId {
    /// Acknowledged by the phone and shown to nobody: it only tells that the phone is on.
    pub fn silent(self) -> bool {
        self.0 == 0x40
    }

    /// It takes the place of an earlier one of the same number, 1 to 7.
    pub fn replaces(self) -> Option<u8> {
        matches!(self.0, 0x41..=0x47).then_some(self.0 & 0x07)
    }

    /// It came through an e-mail gateway; the sender's address stands in the text (3.8).
    pub fn from_email(self) -> bool {
        self.0 == 0x32
    }

    /// For the phone or its card, and not for people: data downloads, depersonalisation,
    /// triggers.
    pub fn for_the_device(self) -> bool {
        matches!(self.0, 0x48 | 0x7c..=0x7f)
    }

    /// It asks the reader to call the sender back (9.2.3.9).
    pub fn asks_for_a_call(self) -> bool {
        self.0 == 0x5f
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_coding_is_known_in_each_of_its_groups() {
        use Coding::{Octets, Septets, Utf16};
        let expected = [
            (0x00, Septets),
            (0x04, Octets),
            (0x08, Utf16),
            (0x0c, Septets),
            (0x10, Septets),
            (0x18, Utf16),
            (0x48, Utf16),
            (0x80, Septets),
            (0xc0, Septets),
            (0xd8, Septets),
            (0xe0, Utf16),
            (0xf0, Septets),
            (0xf5, Octets),
        ];
        for (octet, coding) in expected {
            assert_eq!(DataCoding(octet).coding(), coding, "{octet:#x}");
        }
    }

    #[test]
    fn a_flash_is_one_in_both_ways_of_saying_it() {
        for octet in [0x10, 0x18, 0x50, 0xf0, 0xf4] {
            assert_eq!(DataCoding(octet).class(), Some(Class::Flash), "{octet:#x}");
        }
        for octet in [0x00, 0x08, 0xc0, 0xe0] {
            assert_eq!(DataCoding(octet).class(), None, "{octet:#x}");
        }
        assert_eq!(DataCoding(0xf1).class(), Some(Class::Phone));
    }

    #[test]
    fn what_a_message_says_of_a_mailbox_is_read() {
        let waiting = |octet| DataCoding(octet).waiting();
        assert_eq!(waiting(0x00), None);
        assert_eq!(waiting(0xf1), None);
        let voice = waiting(0xc8).unwrap();
        assert_eq!(voice.mailbox, Mailbox::Voice);
        assert!(voice.something && voice.discard);
        assert!(!waiting(0xc0).unwrap().something);
        let fax = waiting(0xd9).unwrap();
        assert_eq!((fax.mailbox, fax.discard), (Mailbox::Fax, false));
        assert_eq!(waiting(0xea).unwrap().mailbox, Mailbox::Email);
    }

    #[test]
    fn only_type_0_is_silent() {
        let silent: Vec<u8> = (0..=255).filter(|one| ProtocolId(*one).silent()).collect();
        assert_eq!(silent, [0x40]);
        assert_eq!(ProtocolId(0x43).replaces(), Some(3));
        assert!(DataCoding(0x20).compressed() && !DataCoding(0xe0).compressed());
    }
}
