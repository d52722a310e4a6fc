//! A service centre of a phone network on loopback, for the demo: it accepts what the relay
//! submits, and delivers what phones, or people who pretend to be one, have written.
//!
//! **Elsewhere**: rusmpp has the frames; `sms` decides what is delivered.
//!
//! **Always**: one relay at a time, and it ends with the demo.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::BytesMut;
use rusmpp::pdus::{BindTransceiverResp, DeliverSm, SubmitSm, SubmitSmResp};
use rusmpp::tokio_codec::CommandCodec;
use rusmpp::types::{COctetString, OctetString};
use rusmpp::values::{DataCoding, EsmClass, Npi, Ton};
use rusmpp::{Command, CommandStatus, Pdu};
use tokio_util::codec::{Decoder as _, Encoder as _};

/// What the relay calls itself there, and its password.
const USER: &str = "demo";
const PASSWORD: &str = "demo";

/// For each thing that the relay is to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// The service centre.
pub struct Smsc {
    port: u16,
    said: Receiver<Said>,
    relay: Arc<Mutex<Option<TcpStream>>>,
}

/// What the relay did.
enum Said {
    Bound,
    Submitted(Submitted),
    Answered(CommandStatus),
}

/// A text that the relay has handed over.
pub struct Submitted {
    /// Whom it is from.
    pub from: String,
    /// Whom it is for.
    pub to: String,
    /// What it says.
    pub text: String,
}

/// A text that somebody has written.
pub struct Text<'a> {
    /// Who it says that it is from: a number with a plus sign, or a name.
    pub from: &'a str,
    /// For which number.
    pub to: &'a str,
    /// A user-data header, without its length.
    pub header: &'a [u8],
    /// How it is written: SMPP's `data_coding`.
    pub coding: u8,
    /// What it says, so written.
    pub octets: &'a [u8],
}

impl Smsc {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (say, said) = channel();
        let relay = Arc::new(Mutex::new(None));
        let current = Arc::clone(&relay);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Ok(mut current) = current.lock() {
                    *current = stream.try_clone().ok();
                }
                // The next relay may come when this one is gone.
                let _ = serve(stream, &say);
            }
        });
        Ok(Self { port, said, relay })
    }

    /// What the relay is told of it.
    pub fn url(&self) -> String {
        format!("smpp://{USER}:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// Waits until the relay is there.
    pub fn bound(&self) -> Result<()> {
        loop {
            if let Said::Bound = self.next()? {
                return Ok(());
            }
        }
    }

    /// The next text that the relay hands over.
    pub fn submitted(&self) -> Result<Submitted> {
        loop {
            if let Said::Submitted(submitted) = self.next()? {
                return Ok(submitted);
            }
        }
    }

    /// Delivers a text; gives whether the relay took it.
    pub fn deliver(&self, text: &Text<'_>) -> Result<bool> {
        self.send(&Command::new(
            CommandStatus::EsmeRok,
            7,
            deliver_sm(text).context("a text that cannot be written")?,
        ))?;
        loop {
            if let Said::Answered(status) = self.next()? {
                return Ok(status == CommandStatus::EsmeRok);
            }
        }
    }

    fn send(&self, command: &Command) -> Result<()> {
        let relay = self.relay.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        match relay.as_ref() {
            Some(stream) => write(stream, command),
            None => bail!("the relay is not connected to the service centre"),
        }
    }

    fn next(&self) -> Result<Said> {
        self.said
            .recv_timeout(PATIENCE)
            .context("the relay says nothing to the service centre")
    }
}

fn serve(mut stream: TcpStream, say: &Sender<Said>) -> Result<()> {
    let mut codec = CommandCodec::new();
    let mut bytes = BytesMut::new();
    let mut buffer = [0; 4096];
    let mut number = 0_u32;
    loop {
        while let Some(command) = codec.decode(&mut bytes)? {
            let sequence = command.sequence_number();
            let answer = |pdu: Pdu| Command::new(CommandStatus::EsmeRok, sequence, pdu);
            match command.pdu() {
                Some(Pdu::BindTransceiver(_)) => {
                    let bound = BindTransceiverResp::builder().system_id(c_string(USER)?);
                    write(&stream, &answer(bound.build().into()))?;
                    say.send(Said::Bound)?;
                }
                Some(Pdu::EnquireLink) => write(&stream, &answer(Pdu::EnquireLinkResp))?,
                Some(Pdu::SubmitSm(submit)) => {
                    number += 1;
                    let id = format!("demo{number}");
                    let taken = SubmitSmResp::builder().message_id(c_string(&id)?);
                    write(&stream, &answer(taken.build().into()))?;
                    let receipt =
                        Command::new(CommandStatus::EsmeRok, number, receipt(submit, &id)?);
                    write(&stream, &receipt)?;
                    say.send(Said::Submitted(shown(submit)))?;
                }
                // Of a text, not of a receipt.
                Some(Pdu::DeliverSmResp(_)) if sequence == 7 => {
                    say.send(Said::Answered(command.status()))?;
                }
                _ => {}
            }
        }
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
}

fn write(mut stream: &TcpStream, command: &Command) -> Result<()> {
    let mut bytes = BytesMut::new();
    CommandCodec::new().encode(command, &mut bytes)?;
    Ok(stream.write_all(&bytes)?)
}

fn c_string<const MIN: usize, const MAX: usize>(text: &str) -> Result<COctetString<MIN, MAX>> {
    COctetString::from_vec([text.as_bytes(), &[0]].concat())
        .map_err(|_| anyhow::anyhow!("{text:?} does not fit"))
}

fn deliver_sm(text: &Text<'_>) -> Result<DeliverSm> {
    let digits = text.from.strip_prefix('+');
    let has_header = !text.header.is_empty();
    let mut octets = Vec::new();
    if has_header {
        octets.push(u8::try_from(text.header.len())?);
        octets.extend_from_slice(text.header);
    }
    octets.extend_from_slice(text.octets);
    Ok(DeliverSm::builder()
        .source_addr_ton(if digits.is_some() {
            Ton::International
        } else {
            Ton::Alphanumeric
        })
        .source_addr_npi(Npi::Isdn)
        .source_addr(c_string(digits.unwrap_or(text.from))?)
        .dest_addr_ton(Ton::International)
        .dest_addr_npi(Npi::Isdn)
        .destination_addr(c_string(text.to.trim_start_matches('+'))?)
        .esm_class(EsmClass::from(if has_header { 0x40 } else { 0 }))
        .data_coding(DataCoding::from(text.coding))
        .short_message(
            OctetString::from_vec(octets).map_err(|_| anyhow::anyhow!("too long a text"))?,
        )
        .build())
}

/// That the phone has it (SMPP 3.4, appendix B).
fn receipt(submit: &SubmitSm, id: &str) -> Result<DeliverSm> {
    let text = format!(
        "id:{id} sub:001 dlvrd:001 submit date:2611281200 done date:2611281200 stat:DELIVRD \
         err:000 text:"
    );
    Ok(DeliverSm::builder()
        .source_addr(submit.destination_addr.clone())
        .destination_addr(submit.source_addr.clone())
        .esm_class(EsmClass::from(0x04))
        .short_message(
            OctetString::from_vec(text.into_bytes()).map_err(|_| anyhow::anyhow!("too long"))?,
        )
        .build())
}

fn shown(submit: &SubmitSm) -> Submitted {
    let octets = submit.short_message().as_ref();
    let text = match u8::from(submit.data_coding) {
        8 => {
            let units = octets.chunks_exact(2).filter_map(|pair| match pair {
                [high, low] => Some(u16::from_be_bytes([*high, *low])),
                _ => None,
            });
            char::decode_utf16(units)
                .map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        }
        // Letters, digits and most signs of the default alphabet are as in ASCII.
        _ => String::from_utf8_lossy(octets).into_owned(),
    };
    Submitted {
        from: submit.source_addr.to_string(),
        to: submit.destination_addr.to_string(),
        text,
    }
}
