-- A store as Waxwing made it at version 4 of its tables: what its four steps ran, and some rows.
-- Frozen: never changed. `crates/engine/src/store/tests.rs` opens it.
CREATE TABLE mls (
        id    INTEGER PRIMARY KEY,
        label INTEGER NOT NULL,
        key   BLOB NOT NULL,
        chunk INTEGER NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (label, key, chunk)
    ) STRICT;
CREATE TABLE account (
        id            INTEGER PRIMARY KEY CHECK (id = 1),
        identity_seed BLOB NOT NULL,
        leaf_seed     BLOB NOT NULL,
        recovery      BLOB,
        address       TEXT,
        mailbox       BLOB,
        CHECK ((address IS NULL) = (mailbox IS NULL))
    ) STRICT;
CREATE TABLE roster (
        position  INTEGER PRIMARY KEY,
        statement BLOB NOT NULL
    ) STRICT;
CREATE TABLE setting (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE registration (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    address TEXT NOT NULL,          -- as typed
    stage INTEGER NOT NULL,         -- 1 asking, 2 code sent, 3 checking, 4 registered
    registration_id BLOB,
    expires_at INTEGER,
    code TEXT
);
CREATE TABLE token (input BLOB PRIMARY KEY, output BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE contact (
    account_id BLOB PRIMARY KEY,
    address TEXT NOT NULL,           -- canonical
    display TEXT NOT NULL,
    verified INTEGER NOT NULL,       -- the log says that the address is this account's
    blocked INTEGER NOT NULL DEFAULT 0,
    roster BLOB NOT NULL,            -- LookedUp with the statements
    looked_up_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX contact_address ON contact (address);
CREATE TABLE conversation (
    id BLOB PRIMARY KEY,
    address TEXT NOT NULL,          -- canonical
    display TEXT NOT NULL,
    account_id BLOB,                -- the other side, once it is known
    written_to INTEGER NOT NULL,    -- whether this account has written
    started_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX conversation_address ON conversation (address);
CREATE INDEX conversation_account ON conversation (account_id);
CREATE TABLE conversation_group (
    group_id BLOB PRIMARY KEY,
    conversation BLOB REFERENCES conversation (id),  -- absent while Checking
    account_id BLOB NOT NULL,                        -- the other side
    state INTEGER NOT NULL,
    rejoin_secret BLOB NOT NULL,
    next_counter INTEGER NOT NULL DEFAULT 1,         -- of this device's envelopes
    since_rekey INTEGER NOT NULL DEFAULT 0,          -- own messages
    rekeyed_at INTEGER NOT NULL,
    request BLOB,            -- Creating: CreateGroup; Active: Post of the pending commit
    commit_post BLOB,        -- of the welcome, the pending commit, or the last one made
    commit_pending INTEGER NOT NULL DEFAULT 0,
    waits_for_lookup INTEGER NOT NULL DEFAULT 0      -- the first held post does
) WITHOUT ROWID;
CREATE INDEX group_conversation ON conversation_group (conversation);
CREATE INDEX group_busy ON conversation_group (state)
    WHERE state != 2 OR commit_pending OR waits_for_lookup;
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    conversation BLOB NOT NULL REFERENCES conversation (id),
    place INTEGER NOT NULL,          -- orders; the id, but for what fills a gap
    kind INTEGER NOT NULL,           -- 1 message, 2 event, 3 gap
    address TEXT NOT NULL,           -- whose, in display form
    at INTEGER NOT NULL,             -- by this device's clock
    message BLOB,                    -- from here on: messages
    account_id BLOB,
    verified INTEGER,
    outgoing INTEGER,
    text TEXT,
    content BLOB,                    -- MIMI content, where it holds more than text
    reply_to BLOB,
    sent_at INTEGER,
    state INTEGER,
    problem TEXT,
    read INTEGER NOT NULL DEFAULT 1,
    event TEXT,                      -- events
    group_id BLOB,                   -- gaps
    device_id BLOB,
    missing INTEGER
);
CREATE UNIQUE INDEX entry_message ON entry (conversation, message) WHERE message IS NOT NULL;
CREATE UNIQUE INDEX entry_gap ON entry (group_id, device_id) WHERE kind = 3;
CREATE INDEX entry_place ON entry (conversation, place, id);
CREATE INDEX entry_unread ON entry (conversation, place) WHERE NOT read;
CREATE TABLE outgoing (
    id INTEGER PRIMARY KEY,
    conversation BLOB NOT NULL,
    message BLOB,                -- the MIMI id of what a person wrote
    body BLOB NOT NULL,          -- Envelope without its counter
    written_at INTEGER NOT NULL,
    state INTEGER NOT NULL,      -- 0 waits, 1 encrypted, 2 accepted
    group_id BLOB,
    counter INTEGER,
    post_id BLOB,
    epoch INTEGER,
    ciphertext BLOB
);
CREATE INDEX outgoing_open ON outgoing (conversation, id) WHERE state < 2;
CREATE INDEX outgoing_post ON outgoing (post_id) WHERE post_id IS NOT NULL;
CREATE INDEX outgoing_counter ON outgoing (group_id, counter) WHERE group_id IS NOT NULL;
CREATE INDEX outgoing_written ON outgoing (written_at) WHERE state = 2;
CREATE TABLE receipt_due (
    conversation BLOB NOT NULL,
    message BLOB NOT NULL,
    read INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (conversation, message)
) WITHOUT ROWID;
CREATE TABLE heard (
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    contiguous INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    ask_at INTEGER,              -- there is a hole, and then it is asked for
    asks INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (group_id, device_id)
) WITHOUT ROWID;
CREATE INDEX heard_ask ON heard (ask_at) WHERE ask_at IS NOT NULL;
CREATE TABLE heard_above (
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    counter INTEGER NOT NULL,
    PRIMARY KEY (group_id, device_id, counter)
) WITHOUT ROWID;
CREATE TABLE held_post (
    id INTEGER PRIMARY KEY,
    group_id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    post_id BLOB NOT NULL,
    body BLOB NOT NULL,
    held_at INTEGER NOT NULL,
    UNIQUE (group_id, post_id)
);
CREATE TABLE key_log (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    identity BLOB NOT NULL,          -- LogIdentity
    newest BLOB                      -- SignedHead
) STRICT;
CREATE TABLE evidence (
    id INTEGER PRIMARY KEY,
    found_at INTEGER NOT NULL,
    file BLOB NOT NULL UNIQUE        -- Evidence
) STRICT;
CREATE TABLE alarm (
    code TEXT NOT NULL,
    sentence TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    dismissed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (code, sentence)
) STRICT, WITHOUT ROWID;
CREATE TABLE auditor (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    number INTEGER NOT NULL DEFAULT 0,      -- of the newest head that they co-signed
    made_at INTEGER NOT NULL DEFAULT 0      -- when they did, by their clock
) STRICT, WITHOUT ROWID;
CREATE TABLE heard_head (
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    head BLOB NOT NULL,              -- SignedHead
    heard_at INTEGER NOT NULL,
    PRIMARY KEY (number, hash)
) STRICT, WITHOUT ROWID;
ALTER TABLE contact ADD COLUMN compared INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation_group ADD COLUMN told_head INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation_group ADD COLUMN told_head_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation_group ADD COLUMN membership_due INTEGER NOT NULL DEFAULT 0;
DROP INDEX group_busy;
CREATE INDEX group_busy ON conversation_group (state)
    WHERE state != 2 OR commit_pending OR waits_for_lookup OR membership_due;
CREATE TABLE device_name (device BLOB PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE roster_change (
    id INTEGER PRIMARY KEY,
    statement BLOB NOT NULL          -- SignedStatement
);
CREATE TABLE wanted_revocation (device BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE admission (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    stage INTEGER NOT NULL,
    device BLOB NOT NULL,            -- the new one
    rendezvous BLOB NOT NULL,
    key BLOB NOT NULL,
    entry BLOB,                      -- old: DeviceEntry, to propose it again
    statement BLOB,                  -- old: SignedStatement, once it is in the roster
    mailbox BLOB,                    -- old: of the new one
    proposal BLOB,                   -- new: what it agreed to
    next_chunk INTEGER NOT NULL DEFAULT 0,
    cursor BLOB,                     -- new: ArchiveCursor of the next chunk
    heard_at INTEGER NOT NULL
);
CREATE TABLE archive_conversation (
    source BLOB PRIMARY KEY,
    local BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE backup_key (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    public BLOB NOT NULL
);
CREATE TABLE recovery (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    stage INTEGER NOT NULL,          -- 1 looking up, 2 admitting, 3 restoring
    address TEXT NOT NULL,           -- as typed
    from_file INTEGER NOT NULL,
    revoke_others INTEGER NOT NULL,
    backup_seed BLOB NOT NULL,
    roster_length INTEGER            -- when it was looked up
);
ALTER TABLE conversation_group ADD COLUMN inherited INTEGER NOT NULL DEFAULT 0;
CREATE TABLE last_resort (reference BLOB PRIMARY KEY, made_at INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE conversation ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;  -- left, or taken out
ALTER TABLE conversation_group ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
CREATE TABLE member (
    conversation BLOB NOT NULL REFERENCES conversation (id),
    account_id BLOB NOT NULL,
    address TEXT NOT NULL,              -- display form
    admin INTEGER NOT NULL,
    leaving INTEGER NOT NULL DEFAULT 0, -- has said so
    due INTEGER NOT NULL DEFAULT 0,     -- its devices are to be looked at
    PRIMARY KEY (conversation, account_id)
) WITHOUT ROWID;
CREATE INDEX member_account ON member (account_id);
CREATE TABLE wish (
    id INTEGER PRIMARY KEY,
    conversation BLOB NOT NULL REFERENCES conversation (id),
    kind INTEGER NOT NULL,
    account_id BLOB,
    text TEXT,
    number INTEGER,
    bytes BLOB,
    wished_at INTEGER NOT NULL
);
CREATE INDEX wish_conversation ON wish (conversation);
ALTER TABLE entry ADD COLUMN by_address TEXT;
ALTER TABLE entry ADD COLUMN detail TEXT;
CREATE INDEX entry_message_id ON entry (message) WHERE message IS NOT NULL;
CREATE TABLE amendment (
    conversation BLOB NOT NULL,
    id BLOB NOT NULL,
    target BLOB NOT NULL,
    kind INTEGER NOT NULL,       -- 1 reaction, 2 edit, 3 taken back
    account_id BLOB NOT NULL,
    address TEXT NOT NULL,       -- display form
    own INTEGER NOT NULL,        -- by this account
    sent_at INTEGER NOT NULL,    -- as the sender's device says
    text TEXT,                   -- the emoji; the new text
    PRIMARY KEY (conversation, id)
) WITHOUT ROWID;
CREATE INDEX amendment_target ON amendment (conversation, target, kind);
ALTER TABLE entry ADD COLUMN amended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entry ADD COLUMN first_text TEXT;
ALTER TABLE entry ADD COLUMN edited_at INTEGER;
ALTER TABLE entry ADD COLUMN taken_back_at INTEGER;
CREATE TABLE receipt (
    conversation BLOB NOT NULL,
    message BLOB NOT NULL,
    account_id BLOB NOT NULL,
    delivered_at INTEGER NOT NULL,  -- by this device's clock
    read_at INTEGER,
    PRIMARY KEY (conversation, message, account_id)
) WITHOUT ROWID;
ALTER TABLE conversation ADD COLUMN timer INTEGER NOT NULL DEFAULT 0;     -- seconds
ALTER TABLE conversation ADD COLUMN timer_at INTEGER NOT NULL DEFAULT 0;  -- when it was set
ALTER TABLE entry ADD COLUMN expires_after INTEGER;                       -- seconds
ALTER TABLE entry ADD COLUMN expires_at INTEGER;
CREATE INDEX entry_expires ON entry (expires_at) WHERE expires_at IS NOT NULL;
CREATE VIRTUAL TABLE entry_text USING fts5 (
    text, content = 'entry', content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
INSERT INTO entry_text (entry_text, rank) VALUES ('secure-delete', 1);
INSERT INTO entry_text (rowid, text) SELECT id, text FROM entry WHERE text != '';
CREATE TRIGGER entry_text_added AFTER INSERT ON entry WHEN new.text != '' BEGIN
    INSERT INTO entry_text (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER entry_text_deleted AFTER DELETE ON entry WHEN old.text != '' BEGIN
    INSERT INTO entry_text (entry_text, rowid, text) VALUES ('delete', old.id, old.text);
END;
CREATE TRIGGER entry_text_changed AFTER UPDATE OF text ON entry WHEN old.text IS NOT new.text
BEGIN
    INSERT INTO entry_text (entry_text, rowid, text)
        SELECT 'delete', old.id, old.text WHERE old.text != '';
    INSERT INTO entry_text (rowid, text) SELECT new.id, new.text WHERE new.text != '';
END;
CREATE TABLE register (
    kind INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,            -- empty: as if it never had been set
    changed_at INTEGER NOT NULL,
    device_id BLOB NOT NULL,
    untold INTEGER NOT NULL DEFAULT 0,  -- other devices are to be told
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX register_untold ON register (kind) WHERE untold;
CREATE INDEX register_starred ON register (changed_at) WHERE kind = 9 AND value != x'';
CREATE TABLE unknown_group (
    group_id BLOB PRIMARY KEY,
    seen_at INTEGER NOT NULL,
    asked INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE again (
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    PRIMARY KEY (group_id, device_id)
) WITHOUT ROWID;
CREATE TABLE attachment (
    conversation BLOB NOT NULL,
    message BLOB NOT NULL,
    number INTEGER NOT NULL,        -- its place in the message
    blob_id BLOB NOT NULL,
    media_type TEXT NOT NULL,
    name TEXT NOT NULL,             -- as the sender called it
    size INTEGER NOT NULL,          -- of the file
    key BLOB NOT NULL,
    hash BLOB NOT NULL,             -- SHA-256 of the sealed bytes
    preview BLOB,                   -- Preview
    PRIMARY KEY (conversation, message, number)
) WITHOUT ROWID;
CREATE INDEX attachment_blob ON attachment (blob_id);
CREATE TABLE blob (
    id BLOB PRIMARY KEY,
    outgoing INTEGER NOT NULL,      -- put by this device
    state INTEGER NOT NULL,         -- 0 offered, 1 under way, 2 whole, 3 gone
    bytes INTEGER NOT NULL,         -- sealed
    parts INTEGER NOT NULL,         -- that are there: at the relay, or here
    readers INTEGER NOT NULL DEFAULT 0,
    secret BLOB                     -- deletes it at the relay
) WITHOUT ROWID;
CREATE INDEX blob_under_way ON blob (id) WHERE state = 1;
ALTER TABLE outgoing ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;  -- for files
ALTER TABLE entry ADD COLUMN markdown INTEGER NOT NULL DEFAULT 0;
CREATE INDEX entry_reply ON entry (conversation, reply_to) WHERE reply_to IS NOT NULL;
CREATE TABLE invitation (               -- links that this device made
    secret_hash BLOB PRIMARY KEY,
    conversation BLOB NOT NULL,
    secret BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE asking (                   -- who waits for this account's decision
    conversation BLOB NOT NULL,
    account_id BLOB NOT NULL,
    address TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    PRIMARY KEY (conversation, account_id)
) WITHOUT ROWID;
CREATE TABLE joining (                  -- what this account asked for
    conversation BLOB PRIMARY KEY,
    direct BLOB NOT NULL,
    asked_at INTEGER NOT NULL
) WITHOUT ROWID;
ALTER TABLE entry ADD COLUMN proof BLOB;
ALTER TABLE amendment ADD COLUMN proof BLOB;
ALTER TABLE amendment ADD COLUMN content BLOB;
ALTER TABLE entry ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;
CREATE INDEX entry_imported ON entry (conversation, message) WHERE imported;
CREATE TABLE parcel (
    id BLOB PRIMARY KEY,
    group_id BLOB NOT NULL,
    way INTEGER NOT NULL,       -- 0 coming, 1 going, 2 group information that is there
    is_info INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    hash BLOB NOT NULL,
    parts INTEGER NOT NULL DEFAULT 0,
    readers INTEGER NOT NULL DEFAULT 0,
    secret BLOB,
    post_id BLOB,
    kind INTEGER,
    epoch INTEGER
);
CREATE INDEX parcel_group ON parcel (group_id);
CREATE TABLE parcel_part (
    parcel BLOB NOT NULL,
    part INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (parcel, part)
);
CREATE TABLE link_preview (
    conversation BLOB NOT NULL,
    message BLOB NOT NULL,
    preview BLOB NOT NULL,          -- LinkPreview
    PRIMARY KEY (conversation, message)
) WITHOUT ROWID;
CREATE TABLE sms_key (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seed BLOB NOT NULL
);
CREATE TABLE sms_message (
    conversation BLOB NOT NULL,
    message BLOB NOT NULL,
    details TEXT NOT NULL,          -- Details as JSON
    PRIMARY KEY (conversation, message)
) WITHOUT ROWID;
CREATE TABLE sms_outgoing (
    id INTEGER PRIMARY KEY,
    sms_id BLOB NOT NULL UNIQUE,
    conversation BLOB NOT NULL,
    number TEXT NOT NULL,
    text TEXT NOT NULL,
    segments INTEGER NOT NULL,
    even_so INTEGER NOT NULL,       -- though the number is on Waxwing
    handed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE sms_part (
    id INTEGER PRIMARY KEY,
    conversation BLOB NOT NULL,
    reference BLOB NOT NULL,
    message BLOB NOT NULL,
    tpdu BLOB NOT NULL UNIQUE,
    came_at INTEGER NOT NULL,
    shown INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX sms_part_reference ON sms_part (conversation, reference);

-- Some rows, also in every table that a later version changes.
INSERT INTO account (id, identity_seed, leaf_seed, address, mailbox)
    VALUES (1, x'11', x'12', 'alice@example.org', x'13');
INSERT INTO setting (name, value) VALUES ('an_old_setting', 7);
INSERT INTO contact (account_id, address, display, verified, roster, looked_up_at, compared)
    VALUES (x'b0', 'bob@example.org', 'bob@example.org', 1, x'01', 1000, 1);
INSERT INTO conversation (id, address, display, account_id, written_to, started_at)
    VALUES (x'c0', 'bob@example.org', 'bob@example.org', x'b0', 1, 1000);
INSERT INTO conversation_group (group_id, conversation, account_id, state, rejoin_secret, rekeyed_at)
    VALUES (x'd0', x'c0', x'b0', 2, x'0f', 1000);
INSERT INTO member (conversation, account_id, address, admin)
    VALUES (x'c0', x'b0', 'bob@example.org', 1);
INSERT INTO entry (conversation, place, kind, address, at, message, text, sent_at)
    VALUES (x'c0', 1, 1, 'bob@example.org', 1000, x'e0', 'Dinner is at eight', 1000);
INSERT INTO outgoing (id, conversation, message, body, written_at, state, group_id, counter, epoch)
    VALUES (1, x'c0', x'e1', x'01', 1000, 2, x'd0', 1, 3),
           (2, x'c0', x'e2', x'02', 2000, 0, NULL, NULL, NULL);
INSERT INTO heard (group_id, device_id, contiguous, highest) VALUES (x'd0', x'b1', 4, 4);
INSERT INTO held_post (group_id, kind, epoch, post_id, body, held_at)
    VALUES (x'd0', 1, 4, x'a0', x'03', 1000);
INSERT INTO alarm (code, sentence, first_at, last_at, dismissed)
    VALUES ('log_stale', 'The log stands still.', 1000, 2000, 0),
           ('device_added', 'A device was added.', 1000, 1000, 1);
INSERT INTO heard_head (number, hash, head, heard_at) VALUES (9, x'90', x'91', 1000);
INSERT INTO admission (id, stage, device, rendezvous, key, next_chunk, heard_at)
    VALUES (1, 2, x'f0', x'f1', x'f2', 2, 1000);
INSERT INTO unknown_group (group_id, seen_at, asked) VALUES (x'd1', 1000, 1);
INSERT INTO again (group_id, device_id) VALUES (x'd0', x'b1');
INSERT INTO parcel (id, group_id, way, is_info, bytes, hash)
    VALUES (x'70', x'd0', 0, 0, 4096, x'71');
PRAGMA application_id = 0x77787767;
PRAGMA user_version = 4;
