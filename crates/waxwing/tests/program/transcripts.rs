//! What the commands print where no relay is needed: `tests/cmd/*.trycmd`.

#[test]
fn the_transcripts_are_true() {
    let folder = tempfile::tempdir().unwrap();
    trycmd::TestCases::new()
        .env("WAXWING_HOME", folder.path().join("home").to_str().unwrap())
        .env("WAXWING_KEY_STORE", "file")
        .env("NO_COLOR", "1")
        .case("tests/cmd/*.trycmd");
}
