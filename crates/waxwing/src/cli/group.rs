//! `waxwing group`.

use std::{io::Read as _, path::PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use waxwing_client::{Session, now};
use waxwing_engine::api::{
    ChangeGroup, Conversation, ConversationKind, CreateGroup, DecideJoin, Group as Shown,
    GroupCreated, Invite, Invited, Join, LeaveGroup, Of, Problem, Request, RevokeInvitation,
};
use waxwing_protocol::{limits, time::Span};

use super::wait_for_relay::settled;
use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, GOOD, Output, WARN, styled},
    text::{clock, day, one_line},
};

/// Members who are named where one has to be chosen, at most.
const NAMED: usize = 10;

/// `waxwing group`.
#[derive(Debug, Args)]
pub struct Group {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Create a group
    #[command(after_help = "\
You become the group's admin. People who have no account are not added; Waxwing tells you who
they are.

Example:
  waxwing group create Family bob@example.org carol@example.org")]
    Create {
        /// The new name
        #[arg(value_name = "NAME")]
        name: String,
        /// The other members
        #[arg(value_name = "ADDRESS")]
        members: Vec<String>,
    },
    /// List the groups
    List,
    /// Show a group: its members, admins and invitations
    Show(Which),
    /// Add members
    #[command(after_help = "\
New members see messages from then on, and none from before. Only admins can add members,
unless the group lets everybody do it (waxwing group settings).

Example:
  waxwing group add Family dora@example.org")]
    Add(Members),
    /// Remove members
    #[command(after_help = "\
They get no new messages, and keep what they have.

Example:
  waxwing group remove Family carol@example.org")]
    Remove(Members),
    /// Make members admins
    Promote(Members),
    /// Make admins plain members
    Demote(Members),
    /// Rename a group
    Rename {
        #[command(flatten)]
        which: Which,
        /// The new name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Change a group's settings
    #[command(after_help = "\
Examples:
  waxwing group settings Family --everybody-adds yes
  waxwing group settings Family --picture family.jpg")]
    Settings {
        #[command(flatten)]
        which: Which,
        /// Whether members who are not admins can add others
        #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
        everybody_adds: Option<bool>,
        /// A PNG, JPEG or WebP of at most 24 KiB
        #[arg(long, value_name = "FILE")]
        picture: Option<PathBuf>,
        /// Remove the picture
        #[arg(long, conflicts_with = "picture")]
        no_picture: bool,
    },
    /// Create an invitation link
    #[command(after_help = "\
Somebody who uses the link asks your devices, which add them, or with --approve ask you first.
The relay plays no part in it. Give the link only to people you want in the group: anybody
who has it can join.

Examples:
  waxwing group invite Family
  waxwing group invite Family --approve --days 7")]
    Invite {
        #[command(flatten)]
        which: Which,
        /// Ask you before anybody is added
        #[arg(long)]
        approve: bool,
        /// How many days the link works
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3650))]
        days: Option<u64>,
    },
    /// Revoke an invitation link
    Revoke {
        #[command(flatten)]
        which: Which,
        /// The invitation's id, as waxwing group show lists it
        #[arg(value_name = "INVITATION")]
        invitation: String,
    },
    /// Ask to join a group, with an invitation link
    #[command(after_help = "\
The person who made the link learns your address. Their devices add you once one of them is
online.

Example:
  waxwing group join 'waxwing:invite/1/…'")]
    Join {
        /// The whole link
        #[arg(value_name = "LINK")]
        link: String,
    },
    /// Add somebody who asked to join
    Accept(Asker),
    /// Refuse somebody who asked to join
    Decline(Asker),
    /// Leave a group
    #[command(after_help = "\
The others see that you left. You keep the history, and get no new messages. If you are the
last admin, you choose who becomes an admin in your place.

Examples:
  waxwing group leave Family
  waxwing group leave Family --successor carol@example.org")]
    Leave {
        #[command(flatten)]
        which: Which,
        /// The member who becomes an admin in your place
        #[arg(long, value_name = "ADDRESS")]
        successor: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// The group's name, or its id
    #[arg(value_name = "GROUP")]
    group: String,
}

#[derive(Debug, Args)]
struct Asker {
    #[command(flatten)]
    which: Which,
    /// Who asked to join, as waxwing group show lists them
    #[arg(value_name = "ADDRESS")]
    address: String,
}

#[derive(Debug, Args)]
struct Members {
    #[command(flatten)]
    which: Which,
    /// Addresses
    #[arg(value_name = "ADDRESS", required = true)]
    members: Vec<String>,
}

#[derive(Deserialize)]
struct Conversations {
    conversations: Vec<Conversation>,
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("answer yes or no".to_owned()),
    }
}

impl Group {
    /// Makes, shows or changes groups.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let nothing = ChangeGroup::default;
        let change = match self.what.unwrap_or(What::List) {
            What::Create { name, members } => return create(session, output, name, members).await,
            What::List => return list(session, output).await,
            What::Show(which) => return show(session, output, which.group).await,
            What::Leave { which, successor } => {
                let of = which.group;
                if successor.is_none() {
                    others_have_an_admin(session, &of).await?;
                }
                let leave = LeaveGroup { of, successor };
                let _: Value = session.ask(&Request::LeaveGroup(leave)).await?;
                output.object(&serde_json::json!({ "type": "leaving" }));
                output.line("You are leaving the group; the others will see that.");
                return settled(session, output).await;
            }
            What::Invite {
                which,
                approve,
                days,
            } => return invite(session, output, which.group, approve, days).await,
            What::Revoke { which, invitation } => {
                let request = Request::RevokeInvitation(RevokeInvitation {
                    group: which.group,
                    invitation,
                });
                return done(session, output, &request, "revoked").await;
            }
            What::Join { link } => {
                let request = Request::Join(Join { link });
                let outcome = done(session, output, &request, "joining").await?;
                output.line(
                    "You have asked to join. The group appears once a device of the person who \
                     made the link is online and adds you.",
                );
                return Ok(outcome);
            }
            What::Accept(asker) => return decide(session, output, asker, true).await,
            What::Decline(asker) => return decide(session, output, asker, false).await,
            What::Add(Members { which, members }) => ChangeGroup {
                group: which.group,
                add: members,
                ..nothing()
            },
            What::Remove(Members { which, members }) => ChangeGroup {
                group: which.group,
                remove: members,
                ..nothing()
            },
            What::Promote(Members { which, members }) => ChangeGroup {
                group: which.group,
                promote: members,
                ..nothing()
            },
            What::Demote(Members { which, members }) => ChangeGroup {
                group: which.group,
                demote: members,
                ..nothing()
            },
            What::Rename { which, name } => ChangeGroup {
                group: which.group,
                name: Some(name),
                ..nothing()
            },
            What::Settings {
                which,
                everybody_adds,
                picture,
                no_picture,
            } => ChangeGroup {
                group: which.group,
                everybody_adds,
                picture: match picture {
                    Some(path) => Some(read_picture(&path)?),
                    None => no_picture.then(String::new),
                },
                ..nothing()
            },
        };
        let _: Value = session.ask(&Request::ChangeGroup(change)).await?;
        output.object(&serde_json::json!({ "type": "changing" }));
        let outcome = settled(session, output).await?;
        if outcome == Outcome::Done {
            output.line("Done.");
        }
        Ok(outcome)
    }
}

/// The last admin of a group chooses who follows, unless there is no choice.
async fn others_have_an_admin(session: &mut Session, of: &str) -> Result<(), Failure> {
    let of = of.to_owned();
    let shown: Shown = session.ask(&Request::Group(Of { of })).await?;
    let is_admin = shown
        .members
        .iter()
        .any(|member| member.own && member.admin);
    let others: Vec<_> = shown.members.iter().filter(|member| !member.own).collect();
    if !is_admin || others.len() < 2 || others.iter().any(|member| member.admin) {
        return Ok(());
    }
    let names: Vec<String> = others
        .iter()
        .take(NAMED)
        .map(|member| one_line(&member.address))
        .collect();
    let more = if others.len() > NAMED { ", …" } else { "" };
    Err(Failure::Said {
        code: "group_needs_admin",
        sentence: format!(
            "You are the last admin of this group. Choose who becomes an admin in your place with \
             --successor: {}{more}.",
            names.join(", ")
        ),
    })
}

/// Base64 of a picture that is small enough.
pub(super) fn read_picture(path: &std::path::Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(limits::PICTURE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    let kinds: [&[u8]; 3] = [b"\x89PNG", b"\xff\xd8\xff", b"RIFF"];
    let is_image = kinds.iter().any(|kind| bytes.starts_with(kind));
    if is_image && bytes.len() <= limits::PICTURE_BYTES {
        Ok(data_encoding::BASE64.encode(&bytes))
    } else {
        let limit = limits::PICTURE_BYTES as u64;
        Err(Problem::PictureInvalid { limit }.into())
    }
}

async fn done(
    session: &mut Session,
    output: &Output,
    request: &Request,
    kind: &str,
) -> Result<Outcome, Failure> {
    let _: Value = session.ask(request).await?;
    output.object(&serde_json::json!({ "type": kind }));
    settled(session, output).await
}

async fn decide(
    session: &mut Session,
    output: &Output,
    asker: Asker,
    accept: bool,
) -> Result<Outcome, Failure> {
    let request = Request::DecideJoin(DecideJoin {
        group: asker.which.group,
        address: asker.address,
        accept,
    });
    let kind = if accept { "accepted" } else { "declined" };
    done(session, output, &request, kind).await
}

async fn invite(
    session: &mut Session,
    output: &Output,
    group: String,
    needs_approval: bool,
    days: Option<u64>,
) -> Result<Outcome, Failure> {
    let expires_at = days.map(|days| now().after(Span::days(days)).into());
    let request = Request::Invite(Invite {
        group,
        needs_approval,
        expires_at,
    });
    let Invited { id, link } = session.ask(&request).await?;
    output.object(&serde_json::json!({ "type": "invited", "id": id, "link": link }));
    output.line(link);
    output.aside(format!(
        "Its id is {id}; `waxwing group revoke` revokes it."
    ));
    settled(session, output).await
}

async fn create(
    session: &mut Session,
    output: &Output,
    name: String,
    members: Vec<String>,
) -> Result<Outcome, Failure> {
    let request = Request::CreateGroup(CreateGroup { name, members });
    let GroupCreated { conversation } = session.ask(&request).await?;
    output.object(&serde_json::json!({
        "type": "group_created",
        "conversation": conversation,
    }));
    output.line(format!(
        "The group is created.\n  {}",
        styled(FAINT, format!("its id is {conversation}"))
    ));
    settled(session, output).await
}

async fn list(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    let Conversations { conversations } = session.ask(&Request::Conversations).await?;
    let groups: Vec<Conversation> = conversations
        .into_iter()
        .filter(|conversation| conversation.kind == ConversationKind::Group)
        .collect();
    if groups.is_empty() {
        output.line("You are not in any group; `waxwing group create NAME ADDRESS…` creates one.");
    }
    for group in groups {
        let of = group.id.to_string();
        let shown: Shown = session.ask(&Request::Group(Of { of })).await?;
        output.object(&json(&shown));
        let unread = match group.unread {
            0 => String::new(),
            count => styled(BOLD, format!("  {count} unread")),
        };
        let gone = if shown.left {
            styled(WARN, "  you are no longer a member")
        } else {
            format!("  {} members", shown.members.len())
        };
        output.line(format!(
            "{}{gone}{unread}\n  {}",
            styled(BOLD, one_line(&shown.name)),
            styled(FAINT, shown.conversation)
        ));
    }
    Ok(Outcome::Shown)
}

async fn show(session: &mut Session, output: &Output, of: String) -> Result<Outcome, Failure> {
    let shown: Shown = session.ask(&Request::Group(Of { of })).await?;
    output.object(&json(&shown));
    output.line(format!(
        "{}\n  {}",
        styled(BOLD, one_line(&shown.name)),
        styled(FAINT, shown.conversation)
    ));
    if shown.left {
        output.line(styled(WARN, "  You are no longer a member."));
    }
    for member in &shown.members {
        let who = if member.own {
            format!("{} (you)", one_line(&member.address))
        } else {
            one_line(&member.address)
        };
        let verified = match (member.own, member.compared, member.verified) {
            (true, _, _) => String::new(),
            (_, true, _) => styled(GOOD, " ✓✓"),
            (_, _, true) => styled(GOOD, " ✓"),
            _ => styled(WARN, " (not verified)"),
        };
        let admin = if member.admin {
            styled(FAINT, "  admin")
        } else {
            String::new()
        };
        output.line(format!("  {who}{verified}{admin}"));
    }
    for address in &shown.asking {
        let address = one_line(address);
        output.line(format!(
            "  {address} {}",
            styled(WARN, "asks to join: waxwing group accept, or decline")
        ));
    }
    for invitation in &shown.invitations {
        let mut line = format!("  Invitation {}", invitation.id);
        if invitation.needs_approval {
            line.push_str(", needs your approval");
        }
        if let Some(at) = invitation.expires_at {
            line = format!("{line}, until {} {}", day(at), clock(at));
        }
        if let Some(link) = &invitation.link {
            line = format!("{line}\n    {}", one_line(link));
        }
        output.line(styled(FAINT, line));
    }
    for address in &shown.coming {
        let address = one_line(address);
        output.line(styled(FAINT, format!("  {address} is being added")));
    }
    if shown.everybody_adds {
        output.line(styled(FAINT, "  Every member can add others."));
    }
    Ok(Outcome::Shown)
}

fn json(shown: &Shown) -> Value {
    let mut object = serde_json::to_value(shown).unwrap_or_default();
    if let Value::Object(fields) = &mut object {
        fields.insert("type".into(), "group".into());
    }
    object
}
