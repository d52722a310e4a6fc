//! The bots in `examples/`, run as a person would.

use std::process::{Child, Command, Stdio};

use crate::world::{Home, Rpc, relay::Relay};
use serde_json::json;

/// A bot in its account; killed when dropped.
struct Bot(Child);

impl Bot {
    fn start(home: &Home, program: &str, arguments: &[&str]) -> Self {
        let waxwing = home.command(&[]);
        let mut command = Command::new(program);
        // A group of its own, so that all that it starts ends with it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
            .args(arguments)
            .env("WAXWING", waxwing.get_program())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        for (name, value) in waxwing.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let child = command.spawn();
        Self(child.unwrap_or_else(|error| panic!("this test needs {program}: {error}")))
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// Says something, and gives what is answered.
fn ask(from: &mut Rpc, bot: &Home, text: &str) -> String {
    from.call("send", json!({"to": bot.address, "text": text}));
    let answer = from.notice(|notice| notice["type"] == "message" && notice["direction"] == "in");
    answer["text"].as_str().unwrap().to_owned()
}

fn example(name: &str) -> String {
    let path = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::canonicalize(path).unwrap().display().to_string()
}

#[test]
fn the_bot_in_python_says_again_what_it_is_told() {
    let relay = Relay::start();
    let (alice, bot) = (relay.person("alice"), relay.person("bot"));
    let _bot = Bot::start(&bot, "python3", &[&example("echo_bot.py")]);
    let mut alice = alice.rpc();
    alice.call("subscribe", json!({}));
    for text in ["is anybody there?", "two\nlines \"and\" a tab\t"] {
        assert_eq!(ask(&mut alice, &bot, text), text);
    }
    assert_eq!(alice.end(), 0);
}

#[test]
fn the_bot_in_shell_answers_whom_it_was_told_of() {
    let relay = Relay::start();
    let (alice, bot, carol) = (
        relay.person("alice"),
        relay.person("bot"),
        relay.person("carol"),
    );
    let script = example("uptime_bot.sh");
    let _bot = Bot::start(&bot, "sh", &[&script, &alice.address]);
    let mut carols = carol.rpc();
    carols.call("send", json!({"to": bot.address, "text": "uptime"}));
    let mut alices = alice.rpc();
    alices.call("subscribe", json!({}));
    assert!(ask(&mut alices, &bot, "uptime").contains("load average"));
    assert!(ask(&mut alices, &bot, "reboot").contains("one word"));
    assert_eq!(alices.end(), 0);
    assert_eq!(carols.end(), 0);
    assert_eq!(carol.texts(&bot.address), ["uptime"]);
}

#[test]
fn a_program_attaches_and_saves_files_by_their_paths() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.txt");
    std::fs::write(&file, "milk").unwrap();
    let (mut from, mut to) = (alice.rpc(), bob.rpc());
    to.call("subscribe", json!({}));
    let sealed = from.call("seal_file", json!({"path": file}));
    let send = json!({"to": bob.address, "text": "", "attachments": [sealed]});
    let sent = from.call("send", send);
    let got = to.notice(|notice| notice["type"] == "message");
    assert_eq!(got["id"], sent["id"]);
    let of = json!({"message": got["id"], "number": 0});
    // Of a stranger nothing is fetched unasked.
    let mut save = of.clone();
    save["to"] = json!(folder.path().join("saved/"));
    let refused = to.try_call("save_attachment", save.clone()).unwrap();
    assert_eq!(refused["error"]["data"]["code"], "attachment_not_here");
    to.call("fetch_attachment", of);
    let changed = |notice: &serde_json::Value| {
        notice["type"] == "message_changed" && notice["attachments"][0]["state"] == "here"
    };
    to.notice(changed);
    let saved = to.call("save_attachment", save);
    let path = saved["path"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "milk");
    let relative = from
        .try_call("seal_file", json!({"path": "list.txt"}))
        .unwrap();
    assert_eq!(relative["error"]["data"]["code"], "file_unusable");
    assert_eq!((from.end(), to.end()), (0, 0));
}
