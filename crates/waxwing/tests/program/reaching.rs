//! Reaching the relay: through a proxy, and at another place.

use std::{
    io::{Read, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::json;

use crate::world::{Home, relay::Relay};

/// A SOCKS5 proxy without credentials, which passes on what comes; and what it was asked for.
struct Proxy {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("socks5://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let asking = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let asking = Arc::clone(&asking);
                thread::spawn(move || serve(stream, &asking));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn exactly<const N: usize>(from: &mut impl Read) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn text(from: &mut impl Read) -> Option<String> {
    let [length] = exactly(from)?;
    let mut bytes = vec![0; length.into()];
    from.read_exact(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}

fn serve(mut client: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let [5] = exactly(&mut client)? else {
        return None;
    };
    text(&mut client)?;
    client.write_all(&[5, 0]).ok()?;
    let host = match exactly(&mut client)? {
        [5, 1, 0, 3] => text(&mut client)?,
        [5, 1, 0, 1] => std::net::Ipv4Addr::from(exactly::<4>(&mut client)?).to_string(),
        _ => return None,
    };
    let port = u16::from_be_bytes(exactly(&mut client)?);
    asked.lock().unwrap().push(format!("{host}:{port}"));
    // `relay.test` is a name that only the proxy knows.
    let known = if host == "relay.test" {
        "127.0.0.1"
    } else {
        &host
    };
    let Ok(mut server) = TcpStream::connect((known, port)) else {
        return client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).ok();
    };
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    let (mut back, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(std::net::Shutdown::Both);
    Some(())
}

/// The relay's URL, under a name that only the proxy can find.
fn hidden(relay: &Relay) -> String {
    relay.url.replace("127.0.0.1", "relay.test")
}

#[test]
fn everything_goes_through_the_proxy_or_nowhere() {
    let relay = Relay::start();
    let bob = relay.person("bob");
    let proxy = Proxy::start();
    let alice =
        Home::with_variables(&[("WAXWING_KEY_STORE", "file"), ("WAXWING_PROXY", &proxy.url)]);
    let ended = relay.register_with(&alice, &hidden(&relay), |code| format!("{code}\n"));
    assert_eq!(ended.code, 0, "{ended:?}");
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|one| one.starts_with("relay.test:")));

    // The home remembers it, no matter what other programs are told to use.
    let send = |text: &str, all: &str| {
        let mut command = alice.command(&["send", &bob.address, text, "--wait", "5", "--json"]);
        let ended = command.env_remove("WAXWING_PROXY").env("ALL_PROXY", all);
        crate::world::Ended::from(ended.output().unwrap())
    };
    let sent = send("through the proxy", "http://127.0.0.1:1");
    assert_eq!(sent.code, 0, "{sent:?}");
    assert!(!proxy.asked().is_empty());
    let shown = alice.run(&["relay", "--json"]).objects();
    assert_eq!(shown[0]["proxy"], proxy.url.replace("socks5", "socks5h"));
    assert_eq!(shown[0]["online"], true);
    let doctor = alice.run(&["doctor", "--json"]);
    assert_eq!(doctor.code, 0, "{doctor:?}");
    assert!(
        doctor
            .objects()
            .iter()
            .any(|check| check["check"] == "proxy")
    );

    // A proxy that does not work is never gone around, though the relay could be reached.
    let gone = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("socks5://{}", gone.local_addr().unwrap())
    };
    let plain = relay.url.clone();
    let moved = alice.run(&["relay", "move", &plain]);
    assert_eq!(moved.code, 0, "{moved:?}");
    let arguments = [
        "--proxy",
        &gone,
        "send",
        &bob.address,
        "later",
        "--wait",
        "2",
    ];
    let mut command = alice.command(&arguments);
    let ended = command.env_remove("WAXWING_PROXY").output().unwrap();
    let waits = crate::world::Ended::from(ended);
    assert_eq!(waits.code, 3, "{waits:?}");
    assert!(waits.err.contains("never connects without it"), "{waits:?}");
    // Without one, if that is what the person wants.
    let mut command = alice.command(&["--proxy", "none", "send", &bob.address, "now"]);
    let ended = command.env_remove("WAXWING_PROXY").output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let listened = bob.run(&["listen", "--count", "3", "--timeout", "60"]);
    assert_eq!(listened.code, 0, "{listened:?}");
}

#[test]
fn a_proxy_of_all_programs_is_used_and_remembered_or_refused() {
    let relay = Relay::start();
    let proxy = Proxy::start();
    let home = Home::with_variables(&[("WAXWING_KEY_STORE", "file"), ("ALL_PROXY", &proxy.url)]);
    let ended = relay.register_with(&home, &hidden(&relay), |code| format!("{code}\n"));
    assert_eq!(ended.code, 0, "{ended:?}");
    let mut command = home.command(&["relay", "--json"]);
    let shown = command.env_remove("ALL_PROXY").output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains(r#""proxy":"socks5h://"#));
    // Another home, and an auditor: a proxy of another kind is not gone around.
    let other = Home::with_variables(&[
        ("WAXWING_KEY_STORE", "file"),
        ("ALL_PROXY", "http://127.0.0.1:1"),
    ]);
    for arguments in [
        ["audit", "follow", &relay.url, "--once"].as_slice(),
        &["register", "a@example.org", "--relay", &relay.url],
    ] {
        other.run(arguments).failed_with("not a SOCKS5 proxy");
    }
    proxy.asked();
    let follow = [
        "audit",
        "follow",
        &hidden(&relay),
        "--once",
        "--proxy",
        &proxy.url,
    ];
    let followed = other.run(&follow);
    assert_eq!(followed.code, 0, "{followed:?}");
    assert!(!proxy.asked().is_empty());
}

#[test]
fn a_process_that_runs_takes_up_a_new_proxy() {
    let relay = Relay::start();
    let alice = relay.person("alice");
    let mut rpc = alice.rpc();
    rpc.call("subscribe", json!({}));
    let proxy = Proxy::start();
    let shown = alice.run(&["relay", "--proxy", &proxy.url, "--json"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    rpc.notice(|notice| notice["type"] == "connection" && notice["connection"] == "online");
    assert!(!proxy.asked().is_empty());
    let refused = rpc.try_call("set_proxy", json!({"proxy": "http://127.0.0.1:1"}));
    assert_eq!(refused.unwrap()["error"]["data"]["code"], "proxy_malformed");
}

#[test]
fn a_relay_is_followed_to_another_port_by_its_key() {
    let mut relay = Relay::start();
    let alice = relay.person("alice");
    let bob = relay.person("bob");
    let mut rpc = alice.rpc();
    rpc.call("subscribe", json!({}));
    relay.kill();
    relay.run_elsewhere();
    // Nothing is there any more, and another relay has another key.
    let stranger = Relay::start();
    for url in [stranger.bare_url(), stranger.url.clone()] {
        let refused = alice.run(&["relay", "move", &url]);
        refused.failed_with("has another key");
    }
    let account = rpc.call("relay", json!({}));
    assert_ne!(account["url"], stranger.bare_url());

    let moved = alice.run(&["relay", "move", &relay.bare_url()]);
    assert_eq!(moved.code, 0, "{moved:?}");
    let told = rpc.notice(|notice| notice["type"] == "relay_moved");
    assert_eq!(told["url"], relay.bare_url());
    rpc.notice(|notice| notice["type"] == "connection" && notice["connection"] == "online");
    let moved = bob.run(&["relay", "move", &relay.url, "--json"]);
    assert_eq!(moved.code, 0, "{moved:?}");
    assert_eq!(moved.objects()[0]["url"], relay.bare_url());
    let sent = alice.run(&["send", &bob.address, "from the new place"]);
    assert_eq!(sent.code, 0, "{sent:?}");
    let listened = bob.run(&["listen", "--count", "1", "--timeout", "60"]);
    assert!(listened.out.contains("from the new place"), "{listened:?}");
    // What does not answer is not followed either.
    relay.kill();
    let refused = alice.run(&["relay", "move", "https://127.0.0.1:9"]);
    refused.failed_with("cannot be reached");
    let shown = alice.run(&["relay", "--json"]).objects();
    assert_eq!(shown[0]["url"], relay.bare_url());
}
