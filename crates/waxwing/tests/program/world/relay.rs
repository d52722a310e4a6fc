//! The real relay as a process, its mails as files.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Instant,
};

use tempfile::TempDir;

use super::{Ended, Home, PATIENCE, lines};

/// A relay; killed when dropped.
pub struct Relay {
    folder: TempDir,
    child: Option<Child>,
    /// Instead of the directory for mails.
    smtp: Option<String>,
    smsc: Option<String>,
    config: Option<PathBuf>,
    /// With its pin.
    pub url: String,
}

/// The relay's program.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("waxwing-relay-server", "waxwing-relay"))
}

/// A program of this workspace, which is built first. Where `WAXWING_PROGRAMS_ARE_BUILT` is set
/// it is there already: `cargo xtask test` builds all of them at once, which takes minutes less
/// than one after the other with other features.
pub fn built(package: &str, program: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_waxwing")).with_file_name(program);
    if std::env::var_os("WAXWING_PROGRAMS_ARE_BUILT").is_some() {
        assert!(path.exists(), "{program} is not built");
        return path;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success(), "{package} does not build");
    path
}

impl Relay {
    pub fn start() -> Self {
        Self::with(None, None, None)
    }

    /// One that mails through this server.
    pub fn start_with_smtp(url: String) -> Self {
        Self::with(Some(url), None, None)
    }

    /// One that texts through this SMSC.
    pub fn start_with_smsc(url: String) -> Self {
        Self::with(None, Some(url), None)
    }

    /// The same, with a configuration file.
    pub fn start_with_smsc_and(url: String, config: PathBuf) -> Self {
        Self::with(None, Some(url), Some(config))
    }

    fn with(smtp: Option<String>, smsc: Option<String>, config: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut relay = Self {
            folder,
            child: None,
            smtp,
            smsc,
            config,
            url: String::new(),
        };
        relay.run("127.0.0.1:0");
        relay
    }

    fn run(&mut self, listen: &str) {
        let mut child = Command::new(program())
            .args(["serve", "--listen", listen, "--data"])
            .arg(self.data())
            .args(match &self.smtp {
                Some(url) => ["--smtp".into(), url.into()],
                None => ["--mail-dir".into(), self.mail().into_os_string()],
            })
            .args(
                self.config
                    .iter()
                    .flat_map(|path| [OsStr::new("--config"), path.as_os_str()]),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .env("WAXWING_LOG", "trace")
            .envs(
                self.smsc
                    .iter()
                    .map(|url| ("WAXWING_RELAY_SMSC", url.as_str())),
            )
            .stderr(
                File::options()
                    .create(true)
                    .append(true)
                    .open(self.log())
                    .unwrap(),
            )
            .spawn()
            .unwrap();
        let said = lines(child.stdout.take().unwrap());
        self.child = Some(child);
        self.url = loop {
            let line = said
                .recv_timeout(PATIENCE)
                .expect("the relay did not start");
            if let Some(url) = line.strip_prefix("listening ") {
                break url.to_owned();
            }
        };
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What it logs, at the level that logs most.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn mail(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    fn place(&self) -> String {
        let place = self.url.strip_prefix("https://").unwrap();
        place.split(['/', '#']).next().unwrap().to_owned()
    }

    /// Its URL without pin.
    pub fn bare_url(&self) -> String {
        format!("https://{}", self.place())
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// At the same place, with the same data.
    pub fn restart(&mut self) {
        let before = self.url.clone();
        let place = self.place();
        self.run(&place);
        assert_eq!(
            self.url, before,
            "the relay is another one after its restart"
        );
    }

    /// At another port, with the same data.
    pub fn run_elsewhere(&mut self) {
        let before = self.place();
        self.run("127.0.0.1:0");
        assert_ne!(self.place(), before);
    }

    pub fn mails_to(&self, address: &str) -> Vec<String> {
        let mut paths: Vec<_> = match fs::read_dir(self.mail()) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        };
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
        paths.sort();
        let mails = paths.iter().map(|path| fs::read_to_string(path).unwrap());
        mails
            .filter(|mail| mail.contains(&format!("To: {address}")))
            .collect()
    }

    /// The code in the newest mail to an address, when there are `count` of them.
    pub fn code(&self, address: &str, count: usize) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mails = self.mails_to(address);
            if mails.len() >= count {
                return code_in(mails.last().unwrap());
            }
            assert!(Instant::now() < deadline, "no mail came to {address}");
            std::thread::yield_now();
        }
    }

    /// Registers a home's address with the code that comes by mail.
    #[track_caller]
    pub fn register(&self, home: &Home) -> Ended {
        let ended = self.register_with(home, &self.url, |code| format!("{code}\n"));
        assert_eq!(ended.code, 0, "{ended:?}");
        ended
    }

    /// Runs `waxwing register` and gives it what `answer` makes of the code.
    pub fn register_with(
        &self,
        home: &Home,
        url: &str,
        answer: impl FnOnce(&str) -> String,
    ) -> Ended {
        let before = self.mails_to(&home.address).len();
        let mut child = home
            .command(&["register", &home.address, "--relay", url, "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let code = self.code(&home.address, before + 1);
        // It may have ended already.
        let _ = child
            .stdin
            .take()
            .unwrap()
            .write_all(answer(&code).as_bytes());
        child.wait_with_output().unwrap().into()
    }

    /// A new home with a registered address.
    #[track_caller]
    pub fn person(&self, name: &str) -> Home {
        let home = Home::new(&format!("{name}@example.org"));
        self.register(&home);
        home
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Eight digits, which may stand in groups.
fn code_in(mail: &str) -> String {
    let body = mail.split_once("\r\n\r\n").map_or(mail, |(_, body)| body);
    for line in body.lines() {
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        let plain = line
            .trim()
            .chars()
            .all(|c| c.is_ascii_digit() || c == ' ' || c == '-');
        if digits.len() == 8 && plain {
            return digits;
        }
    }
    panic!("no code in {mail}");
}
