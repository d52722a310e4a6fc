//! Several processes on one home, and the keys of its store. No relay is needed.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use crate::world::{Home, relay::Relay};
use serde_json::json;

#[test]
fn a_command_asks_the_process_that_has_the_home() {
    let home = Home::new("alice@example.org");
    let mut first = home.rpc();
    first.call("version", json!({}));
    let socket = home.path().join("rpc.sock");
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let ended = home.run(&["contacts", "--json"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, ""), "{ended:?}");
    let mut second = home.rpc();
    assert_eq!(second.call("contacts", json!({})), json!({"contacts": []}));
    assert_eq!(second.end(), 0);
    assert_eq!(first.end(), 0);
    assert!(!socket.exists(), "the socket was left behind");
}

#[test]
fn another_process_takes_over_when_the_first_one_ends() {
    let home = Home::new("alice@example.org");
    let mut first = home.rpc();
    first.call("version", json!({}));
    let mut second = home.rpc();
    let mut third = home.rpc();
    for rpc in [&mut second, &mut third] {
        rpc.call("subscribe", json!({}));
    }
    assert_eq!(first.end(), 0);
    for rpc in [&mut second, &mut third] {
        rpc.notice(|notice| notice["type"] == "missed");
        rpc.call("contacts", json!({}));
    }
    assert_eq!(second.end(), 0);
    third.call("contacts", json!({}));
    assert_eq!(third.end(), 0);
}

#[test]
fn another_process_takes_over_when_the_first_one_is_killed() {
    let home = Home::new("alice@example.org");
    let mut first = home.rpc();
    first.call("version", json!({}));
    let mut second = home.rpc();
    second.call("subscribe", json!({}));
    first.kill();
    second.notice(|notice| notice["type"] == "missed");
    second.call("contacts", json!({}));
    second.kill();
    assert!(home.path().join("rpc.sock").exists());
    let ended = home.run(&["contacts"]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn many_commands_at_once_all_succeed() {
    let home = Home::new("alice@example.org");
    for _ in 0..3 {
        let commands: Vec<_> = (0..12)
            .map(|_| {
                let mut command = home.command(&["contacts", "--json"]);
                command
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for command in commands {
            let ended = crate::world::Ended::from(command.wait_with_output().unwrap());
            assert_eq!(ended.code, 0, "{ended:?}");
        }
    }
}

#[test]
fn a_home_with_a_long_path_is_served_too() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(120));
    let home = Home::new("alice@example.org");
    let mut first = home.command(&["rpc"]);
    first.env("WAXWING_HOME", &long);
    let mut first = crate::world::Rpc::start(first);
    first.call("version", json!({}));
    let second = home
        .command(&["contacts"])
        .env("WAXWING_HOME", &long)
        .output()
        .unwrap();
    assert!(second.status.success());
    first.call("contacts", json!({}));
}

#[test]
fn a_home_that_cannot_be_written_is_refused() {
    let home = Home::new("alice@example.org");
    let file = tempfile::NamedTempFile::new().unwrap();
    let place = file.path().join("home");
    let ended = home.run(&["--home", place.to_str().unwrap(), "contacts"]);
    ended.failed_with("cannot be written");
    ended.failed_with(place.to_str().unwrap());
}

#[test]
fn the_files_of_a_home_are_for_its_owner_only() {
    let home = Home::new("alice@example.org");
    let mut rpc = home.rpc();
    rpc.call("contacts", json!({}));
    for entry in fs::read_dir(home.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
    }
}

#[test]
fn a_home_that_others_could_read_is_tightened_by_any_command() {
    let home = Home::new("alice@example.org");
    assert_eq!(home.run(&["contacts"]).code, 0);
    let loosen = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    loosen(&home.path(), 0o755);
    for entry in fs::read_dir(home.path()).unwrap() {
        loosen(&entry.unwrap().path(), 0o644);
    }
    assert_eq!(home.run(&["contacts"]).code, 0);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.path()), 0o700);
    for entry in fs::read_dir(home.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn the_key_is_put_into_a_file_only_when_that_is_asked_for() {
    // No keyring, no terminal, and nobody who says where the key is to go.
    let home = Home::with_variables(&[("DBUS_SESSION_BUS_ADDRESS", "unix:path=/dev/null")]);
    let ended = home.run(&["contacts"]);
    ended.failed_with("--key-store file");
    ended.failed_with("WAXWING_PASSPHRASE");
    for name in ["key.json", "store.db"] {
        assert!(!home.path().join(name).exists(), "{name}");
    }
    assert_eq!(home.run(&["contacts", "--key-store", "fil"]).code, 2);
    assert_eq!(home.run(&["contacts", "--key-store", "file"]).code, 0);
    // It is there now, and opens; the doctor says what that means.
    assert_eq!(home.run(&["contacts"]).code, 0);
    let said = home.run(&["doctor"]).out;
    assert!(said.contains("is in a file beside the store"), "{said}");
}

#[test]
fn a_store_opens_with_its_passphrase_only() {
    let home = Home::with_variables(&[("WAXWING_PASSPHRASE", "correct horse")]);
    assert_eq!(home.run(&["contacts"]).code, 0);
    assert_eq!(home.run(&["contacts"]).code, 0);
    let mut wrong = home.command(&["contacts"]);
    wrong.env("WAXWING_PASSPHRASE", "wrong horse");
    crate::world::Ended::from(wrong.output().unwrap()).failed_with("does not open with this key");
    let mut none = home.command(&["contacts"]);
    none.env_remove("WAXWING_PASSPHRASE");
    crate::world::Ended::from(none.output().unwrap()).failed_with("WAXWING_PASSPHRASE");
    assert_eq!(home.run(&["contacts"]).code, 0);
}

#[test]
fn a_copied_profile_folder_opens_only_with_its_passphrase() {
    let relay = Relay::start();
    let alice = Home::with_variables(&[("WAXWING_PASSPHRASE", "correct horse")]);
    relay.register(&alice);
    let bob = relay.person("bob");
    let text = "the canary sings in a folder";
    assert_eq!(alice.run(&["send", &bob.address, text]).code, 0);
    // Whoever has the folder has every file of it.
    let thief = Home::with_variables(&[("WAXWING_PASSPHRASE", "wrong horse")]);
    fs::create_dir_all(thief.path()).unwrap();
    for entry in fs::read_dir(alice.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            for secret in [text, "alice@example.org", &bob.address] {
                let found = bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes());
                assert!(!found, "{secret} in {}", entry.path().display());
            }
            fs::write(thief.path().join(entry.file_name()), bytes).unwrap();
        }
    }
    let ended = thief.run(&["history", &bob.address]);
    ended.failed_with("does not open with this key");
    assert!(!ended.out.contains("canary") && !ended.err.contains("bob"));
}

#[test]
fn a_damaged_store_is_refused_with_advice_and_left_as_it_is() {
    let home = Home::new("alice@example.org");
    assert_eq!(home.run(&["contacts"]).code, 0);
    let path = home.path().join("store.db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0x5a);
    fs::write(&path, &bytes).unwrap();
    let ended = home.run(&["doctor"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let said = format!("{}{}", ended.out, ended.err);
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn bad_lines_cost_an_error_and_the_process_goes_on() {
    let home = Home::new("alice@example.org");
    let mut input = vec![b'x'; 2 << 20];
    input.extend_from_slice(b"\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nothing\"}\n");
    input.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"send\",\"params\":{}}\n");
    input.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"status\"}\n");
    let ended = home.run_with_input(&["rpc"], &input);
    assert_eq!(ended.code, 0, "{ended:?}");
    let answers = ended.objects();
    let codes: Vec<_> = answers
        .iter()
        .map(|answer| answer["error"]["code"].as_i64())
        .collect();
    assert_eq!(codes, [Some(-32700), Some(-32601), Some(-32602), None]);
    assert_eq!(answers[3]["result"]["registration"], "none");
}
