//! The configuration file, and how it is merged with the command line.
//!
//! **Elsewhere**: the settings themselves are [`Choices`].
//!
//! **Always**: an unknown setting is an error and never ignored. Errors do not repeat the
//! file's content, because it may hold a password.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use waxwing_cluster::postgres::{Durability, PostgresError, PostgresSettings};
use waxwing_protocol::{
    address::Address,
    limits::{BACKUP_PART_BYTES, SMS_PRICE_BYTES},
};
use waxwing_relay::mail::{MailError, MailRoute, SmtpUrl};
use waxwing_relay::rate_limit::Rate;
use waxwing_relay::relay::{Config, TextLimits};
use waxwing_relay::server::Settings;
use waxwing_relay::sms::{self, Smsc, SmscUrl, SmscUrlError, Version};
use waxwing_transparency::cosignature::AuditorId;

use crate::arguments::{Choices, Quotas, Texts};

/// The port by default.
pub(crate) const PORT: u16 = 8443;

/// Why the settings are not usable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    #[error("{} cannot be read: {source}. Check --config.", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}, line {line}: {message}", path.display())]
    Parse {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("smtp and mail-dir are both set: mails can go to one of them only")]
    TwoRoutes,
    #[error("smsc and sms-dir are both set: texts can go to one of them only")]
    TwoTextRoutes,
    #[error("{prefix:?} is not a prefix of phone numbers: write a plus sign and digits, like +358")]
    Prefix { prefix: String },
    #[error(
        "the price for {prefix:?} is not valid: write a plus sign, with or without digits, and a \
         price of at most 32 letters, like \"+358\" = \"0.07 EUR\""
    )]
    Price { prefix: String },
    #[error("SMPP version {version:?} is not supported: set smpp to \"3.4\" or \"5.0\"")]
    Smpp { version: String },
    #[error(transparent)]
    Smsc(#[from] SmscUrlError),
    #[error(
        "{text:?} is not an auditor's id: write waxwing-auditor- and 64 hexadecimal digits, as \
         `waxwing audit id` prints them"
    )]
    Auditor { text: String },
    #[error("{text:?} in look-alikes is not an address")]
    LookAlike { text: String },
    #[error(transparent)]
    Mail(#[from] MailError),
    #[error(transparent)]
    ClusterLog(#[from] PostgresError),
    #[error("{text:?} is not a durability: write \"synchronous\" or \"provider\"")]
    Durability { text: String },
    #[error("the node has no name: give each node of the cluster a name of its own")]
    NodeName,
}

/// The command line's choices, and the file's where it makes none.
pub(crate) fn join(
    command_line: Choices,
    file: Option<&Path>,
) -> Result<Choices, ConfigurationError> {
    let Some(path) = file else {
        return Ok(command_line);
    };
    let text = std::fs::read_to_string(path).map_err(|source| ConfigurationError::Read {
        path: path.to_owned(),
        source,
    })?;
    let file = parse(path, &text)?;
    // A route on the command line replaces the one in the file.
    let has_route = command_line.smtp.is_some() || command_line.mail_dir.is_some();
    let (file_smtp, file_mail_dir) = if has_route {
        (None, None)
    } else {
        (file.smtp, file.mail_dir)
    };
    let has_sms_route = command_line.smsc.is_some() || command_line.sms_dir.is_some();
    let (file_smsc, file_sms_dir) = if has_sms_route {
        (None, None)
    } else {
        (file.smsc, file.sms_dir)
    };
    Ok(Choices {
        smsc: command_line.smsc.or(file_smsc),
        sms_dir: command_line.sms_dir.or(file_sms_dir),
        sms_from: command_line.sms_from.or(file.sms_from),
        sms: file.sms,
        quotas: file.quotas,
        listen: command_line.listen.or(file.listen),
        name: command_line.name.or(file.name),
        smtp: command_line.smtp.or(file_smtp),
        mail_dir: command_line.mail_dir.or(file_mail_dir),
        mail_from: command_line.mail_from.or(file.mail_from),
        cluster: file.cluster,
        metrics: command_line.metrics.or(file.metrics),
        log_format: command_line.log_format.or(file.log_format),
        codes_per_hour: command_line.codes_per_hour.or(file.codes_per_hour),
        max_links: command_line.max_links.or(file.max_links),
        max_links_per_source: command_line
            .max_links_per_source
            .or(file.max_links_per_source),
        link_memory: command_line.link_memory.or(file.link_memory),
        shared_sources: [command_line.shared_sources, file.shared_sources].concat(),
        auditors: [command_line.auditors, file.auditors].concat(),
        look_alikes: [command_line.look_alikes, file.look_alikes].concat(),
    })
}

/// What the table `[quotas]` says, and the defaults where it says nothing.
fn quotas(quotas: &Quotas, relay: &mut Config) {
    const GIB: u64 = 1 << 30;
    let bytes = |gib: u32| u64::from(gib).saturating_mul(GIB);
    if let Some(gib) = quotas.blob_gib {
        relay.blob_bytes = bytes(gib);
    }
    if let Some(gib) = quotas.blob_gib_per_day {
        relay.blob_mib_per_day = gib.saturating_mul(1024);
    }
    if let Some(gib) = quotas.backup_gib {
        relay.backup_parts_in_all = bytes(gib) / BACKUP_PART_BYTES as u64;
    }
    if let Some(groups) = quotas.groups {
        relay.groups = groups;
    }
    if let Some(gib) = quotas.group_gib {
        relay.group_bytes = bytes(gib);
    }
    if let Some(days) = quotas.idle_group_days {
        relay.group_idle_days = days;
    }
    if let Some(tokens) = quotas.tokens_per_day {
        relay.tokens_per_day = tokens;
    }
    if let Some(tokens) = quotas.tokens_per_period {
        relay.tokens_per_period = tokens;
    }
}

fn parse(path: &Path, text: &str) -> Result<Choices, ConfigurationError> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().map_or(0, |span| span.start);
        let line = text
            .bytes()
            .take(before)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1;
        ConfigurationError::Parse {
            path: path.to_owned(),
            line,
            message: error.message().to_owned(),
        }
    })
}

/// The cluster that the relay is a node of.
pub(crate) struct ClusterSettings {
    pub(crate) postgres: PostgresSettings,
    pub(crate) node: String,
}

/// What the table `[cluster]` says, if there is one.
pub(crate) fn cluster(choices: &Choices) -> Result<Option<ClusterSettings>, ConfigurationError> {
    let Some(cluster) = &choices.cluster else {
        return Ok(None);
    };
    let durability = match cluster.durability.as_deref() {
        None | Some("synchronous") => Durability::Synchronous,
        Some("provider") => Durability::Provider,
        Some(other) => {
            return Err(ConfigurationError::Durability {
                text: other.to_owned(),
            });
        }
    };
    if cluster.name.is_empty() {
        return Err(ConfigurationError::NodeName);
    }
    let authorities = cluster.authorities.clone();
    Ok(Some(ClusterSettings {
        postgres: PostgresSettings::new(&cluster.log, authorities, durability)?,
        node: cluster.name.clone(),
    }))
}

/// The choices with everything that was not chosen.
pub(crate) fn settle(choices: &Choices) -> Result<Settings, ConfigurationError> {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let mut settings = Settings::new(choices.listen.unwrap_or(listen));
    quotas(&choices.quotas, &mut settings.relay);
    settings.mail = match (&choices.smtp, &choices.mail_dir) {
        (Some(_), Some(_)) => return Err(ConfigurationError::TwoRoutes),
        (Some(url), None) => MailRoute::Smtp(SmtpUrl::parse(url)?),
        (None, Some(directory)) => MailRoute::Directory(directory.clone()),
        (None, None) => MailRoute::None,
    };
    settings.name.clone_from(&choices.name);
    settings.mail_from.clone_from(&choices.mail_from);
    if let Some(codes) = choices.codes_per_hour {
        settings.relay.set_codes_per_hour(codes);
    }
    settings.texts = texts(choices)?;
    if !matches!(settings.texts, sms::SmsRoute::None) {
        settings.relay.texts = Some(text_limits(&choices.sms)?);
        settings.relay.texts_of_accounts = choices.sms.conversations.unwrap_or(true);
        if let Some(most) = choices.sms.per_account_per_day {
            settings.relay.texts_per_account = Rate::a_day(most);
        }
    }
    settings.metrics = choices.metrics;
    settings.shared_sources.clone_from(&choices.shared_sources);
    let auditors = choices.auditors.iter().map(|text| {
        AuditorId::parse(text).ok_or_else(|| ConfigurationError::Auditor { text: text.clone() })
    });
    settings.auditors = auditors.collect::<Result<_, _>>()?;
    let look_alikes = choices.look_alikes.iter().map(|text| {
        Address::parse(text).map_err(|_| ConfigurationError::LookAlike { text: text.clone() })
    });
    settings.relay.look_alikes = look_alikes.collect::<Result<_, _>>()?;
    if let Some(max) = choices.max_links {
        settings.max_links = max;
    }
    if let Some(max) = choices.max_links_per_source {
        settings.max_links_per_source = max;
    }
    if let Some(mebibytes) = choices.link_memory {
        settings.link_memory = mebibytes.saturating_mul(1 << 20);
    }
    Ok(settings)
}

/// The sender of texts by default.
const SMS_FROM: &str = "Waxwing";

fn texts(choices: &Choices) -> Result<sms::SmsRoute, ConfigurationError> {
    Ok(match (&choices.smsc, &choices.sms_dir) {
        (Some(_), Some(_)) => return Err(ConfigurationError::TwoTextRoutes),
        (Some(url), None) => {
            let from = choices.sms_from.as_deref().unwrap_or(SMS_FROM);
            let mut smsc = Smsc::new(SmscUrl::parse(url)?, from);
            smsc.window = choices.sms.window.unwrap_or(smsc.window).max(1);
            smsc.version = match choices.sms.smpp.as_deref() {
                None | Some("3.4") => Version::V3_4,
                Some("5.0") => Version::V5_0,
                Some(other) => {
                    return Err(ConfigurationError::Smpp {
                        version: other.to_owned(),
                    });
                }
            };
            smsc.authorities.clone_from(&choices.sms.authorities);
            smsc.per_second = choices.sms.per_second.unwrap_or(smsc.per_second).max(1);
            sms::SmsRoute::Smsc(Box::new(smsc))
        }
        (None, Some(directory)) => sms::SmsRoute::Directory(directory.clone()),
        (None, None) => sms::SmsRoute::None,
    })
}

fn text_limits(texts: &Texts) -> Result<TextLimits, ConfigurationError> {
    let is_prefix = |prefix: &str| {
        prefix.strip_prefix('+').is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|one| one.is_ascii_digit())
        })
    };
    if let Some(prefix) = texts.prefixes.keys().find(|prefix| !is_prefix(prefix)) {
        return Err(ConfigurationError::Prefix {
            prefix: prefix.clone(),
        });
    }
    let fits = |(prefix, price): (&String, &String)| {
        (prefix == "+" || is_prefix(prefix)) && price.len() <= SMS_PRICE_BYTES
    };
    if let Some((prefix, _)) = texts.prices.iter().find(|one| !fits(*one)) {
        return Err(ConfigurationError::Price {
            prefix: prefix.clone(),
        });
    }
    let usual = TextLimits::default();
    Ok(TextLimits {
        per_day: texts.per_day.unwrap_or(usual.per_day),
        codes_per_day: texts.codes_per_day.unwrap_or(usual.codes_per_day),
        per_prefix_per_day: texts.per_prefix_per_day.unwrap_or(usual.per_prefix_per_day),
        prefixes: texts.prefixes.clone(),
        prices: texts.prices.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }

    #[test]
    fn the_command_line_comes_before_the_file() {
        let file = file(
            "listen = \"[::]:443\"\nname = \"relay.example.org\"\nlog-format = \"json\"\n\
             smtp = \"smtps://user:password@mail.example.org\"\n\
             shared-sources = [\"192.0.2.1\"]\n",
        );
        let command_line = Choices {
            name: Some("other.example.org".to_owned()),
            mail_dir: Some("mail".into()),
            ..Choices::default()
        };
        let joined = join(command_line, Some(file.path())).unwrap();
        assert_eq!(joined.listen, Some("[::]:443".parse().unwrap()));
        assert_eq!(joined.name.as_deref(), Some("other.example.org"));
        let settings = settle(&joined).unwrap();
        assert!(matches!(settings.mail, MailRoute::Directory(_)));
        assert_eq!(settings.shared_sources.len(), 1);
    }

    #[test]
    fn an_unknown_setting_is_named_with_its_line_only() {
        let file = file("listen = \"[::]:443\"\nsmpt = \"smtp://user:hunter2@host\"\n");
        let error = join(Choices::default(), Some(file.path()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && error.contains("smpt"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn auditors_are_those_of_the_command_line_and_of_the_file() {
        let [one, other] = ["11", "22"].map(|two| format!("waxwing-auditor-{}", two.repeat(32)));
        let file = file(&format!("auditors = [{one:?}]\n"));
        let command_line = Choices {
            auditors: vec![other.clone()],
            ..Choices::default()
        };
        let settings = settle(&join(command_line, Some(file.path())).unwrap()).unwrap();
        let ids: Vec<String> = settings.auditors.iter().map(ToString::to_string).collect();
        assert_eq!(ids, [other, one]);
        let choices = Choices {
            auditors: vec!["somebody".to_owned()],
            ..Choices::default()
        };
        let error = settle(&choices).unwrap_err().to_string();
        assert!(error.contains("waxwing-auditor-"), "{error}");
    }

    #[test]
    fn a_bad_mail_server_is_refused_without_repeating_it() {
        let choices = Choices {
            smtp: Some("smpt://user:hunter2@host".to_owned()),
            ..Choices::default()
        };
        let error = settle(&choices).unwrap_err().to_string();
        assert!(error.contains("smtps://"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn how_much_is_texted_stands_in_the_file() {
        let file = file(
            "smsc = \"smpp://user:hunter2@smsc.example.org\"\nsms-from = \"+15551234567\"\n\
             [sms]\nper-day = 50\nprefixes = { \"+44\" = 5, \"+882\" = 0 }\n",
        );
        let joined = join(Choices::default(), Some(file.path())).unwrap();
        let settings = settle(&joined).unwrap();
        let sms::SmsRoute::Smsc(smsc) = &settings.texts else {
            panic!("{:?}", settings.texts);
        };
        assert_eq!((smsc.from.as_str(), smsc.window), ("+15551234567", 10));
        assert!(!format!("{settings:?}").contains("hunter2"));
        let limits = settings.relay.texts.unwrap();
        assert_eq!((limits.per_day, limits.prefixes["+44"]), (50, 5));
        // Without a way to send them there are none.
        assert!(settle(&Choices::default()).unwrap().relay.texts.is_none());
        let wrong = Choices {
            sms_dir: Some("texts".into()),
            sms: Texts {
                prefixes: [("44".to_owned(), 1)].into(),
                ..Texts::default()
            },
            ..Choices::default()
        };
        assert!(matches!(
            settle(&wrong),
            Err(ConfigurationError::Prefix { .. })
        ));
    }

    #[test]
    fn the_cluster_stands_in_the_file_and_its_password_nowhere_else() {
        let text = |durability: &str| {
            format!(
                "[cluster]\nlog = \"postgres://waxwing:hunter2@db/waxwing\"\nname = \"a\"\n\
                 durability = {durability:?}\n"
            )
        };
        let read = |text: &str| join(Choices::default(), Some(file(text).path())).unwrap();
        let choices = read(&text("synchronous"));
        assert!(!format!("{choices:?}").contains("hunter2"));
        assert_eq!(cluster(&choices).unwrap().unwrap().node, "a");
        assert!(matches!(
            cluster(&read(&text("none"))),
            Err(ConfigurationError::Durability { .. })
        ));
        assert!(cluster(&Choices::default()).unwrap().is_none());
        let wrong = text("provider").replace("postgres://", "mysql://");
        let error = cluster(&read(&wrong)).err().unwrap().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
