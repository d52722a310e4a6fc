//! Tricks of conversation: what somebody asks for who wants to deceive.
//!
//! **Elsewhere**: tricks of form are in the other modules.
//!
//! **Always**: these are cautions with their reason, never proof. A phrase is found only where
//! all that makes the trick is in the text: "reply YES to confirm your appointment" is none.

use unicode_normalization::UnicodeNormalization as _;

use super::hidden;

/// A trick of conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phrase {
    /// A reply makes phones let links of this sender be opened.
    ActivateLink,
    /// A child, a parent or a friend with a new number.
    NewNumber,
    /// The code that the reader got is to be passed on.
    AsksForCode,
}

/// Each trick: words of which the text has one from each line.
type Words = &'static [&'static [&'static str]];

const ACTIVATE: [Words; 16] = [
    // English
    &[
        &[
            "reply",
            "respond",
            "answer with",
            "text back",
            "send y",
            "type y",
        ],
        &[
            "activate the link",
            "link to activate",
            "activate this link",
            "enable the link",
            "open the link again",
            "reopen it",
            "reopen the",
            "reopen this",
            "re-open it",
            "re-open the",
            "open it again",
            "exit the sms",
            "exit the text",
            "exit the message",
            "exit and open",
            "close and open",
            "make the link clickable",
            "link is clickable",
            "copy the link to",
            "copy the link into",
            "copy it to safari",
            "copy it into safari",
            "unlock the link",
            "link will work",
            "link clickable",
        ],
    ],
    // German
    &[
        &[
            "antworten sie",
            "antworte",
            "antwort",
            "senden sie j",
            "schreiben sie",
        ],
        &[
            "link zu aktivieren",
            "link aktivieren",
            "aktivieren sie den link",
            "link aktiviert",
            "link freizuschalten",
            "nachricht erneut öffnen",
            "sms erneut öffnen",
            "öffnen sie die sms erneut",
            "link kopieren",
            "kopieren sie den link",
            "schließen sie die nachricht",
            "link anklickbar",
            "öffnen sie sie erneut",
            "nachricht schließen",
        ],
    ],
    // French
    &[
        &["répondez", "repondez", "réponds", "envoyez o"],
        &[
            "activer le lien",
            "rouvrez-le",
            "puis rouvrez",
            "rouvrez le",
            "réouvrez le",
            "rouvrir le message",
            "copiez le lien",
            "quittez le message",
            "quittez le sms",
            "fermez le message",
            "débloquer le lien",
        ],
    ],
    // Spanish
    &[
        &["responda", "responde", "conteste", "contesta"],
        &[
            "activar el enlace",
            "active el enlace",
            "vuelva a abrir el",
            "vuelve a abrir el",
            "copie el enlace",
            "copia el enlace",
            "salga del mensaje",
            "cierre el mensaje",
            "activar el link",
        ],
    ],
    // Italian
    &[
        &["rispondi", "risponda", "rispondere"],
        &[
            "attivare il link",
            "riapri il",
            "riaprilo",
            "riapri per",
            "riapra il",
            "copia il link",
            "copi il link",
            "esci dal messaggio",
            "chiudi il messaggio",
        ],
    ],
    // Portuguese
    &[
        &["responda", "responde"],
        &[
            "ativar o link",
            "ativar a ligação",
            "reabra",
            "abra novamente",
            "copie o link",
            "saia da mensagem",
            "feche a mensagem",
        ],
    ],
    // Dutch
    &[
        &["antwoord", "beantwoord", "reageer"],
        &[
            "link te activeren",
            "activeer de link",
            "open het bericht opnieuw",
            "heropen het",
            "kopieer de link",
            "sluit het bericht",
        ],
    ],
    // Swedish
    &[
        &["svara"],
        &[
            "aktivera länken",
            "öppna meddelandet igen",
            "kopiera länken",
            "stäng meddelandet",
            "öppna det igen",
        ],
    ],
    // Danish and Norwegian
    &[
        &["svar "],
        &[
            "aktivere linket",
            "aktiver linket",
            "aktivere lenken",
            "aktiver lenken",
            "åbn beskeden igen",
            "åpne meldingen på nytt",
            "kopier linket",
            "kopier lenken",
            "luk beskeden",
            "lukk meldingen",
        ],
    ],
    // Finnish
    &[
        &["vastaa"],
        &[
            "aktivoi linkki",
            "aktivoidaksesi linkin",
            "linkin aktivoimiseksi",
            "avaa viesti uudelleen",
            "kopioi linkki",
            "sulje viesti",
            "linkki aktivoituu",
        ],
    ],
    // Polish
    &[
        &["odpowiedz", "odpisz", "wyślij t"],
        &[
            "aktywować link",
            "aktywuj link",
            "ponownie otwórz wiadomość",
            "otwórz wiadomość ponownie",
            "skopiuj link",
            "zamknij wiadomość",
            "uaktywnić link",
        ],
    ],
    // Czech
    &[
        &["odpovězte", "odpověz", "odepište"],
        &[
            "aktivovat odkaz",
            "aktivaci odkazu",
            "aktivovali odkaz",
            "zprávu znovu otevřete",
            "zkopírujte odkaz",
            "zavřete zprávu",
        ],
    ],
    // Turkish
    &[
        &["yanıtla", "cevapla", "yanit", "cevap yaz"],
        &[
            "bağlantıyı etkinleştir",
            "linki etkinleştir",
            "linki aktif",
            "mesajı tekrar aç",
            "mesajı yeniden aç",
            "linki kopyala",
            "bağlantıyı kopyala",
        ],
    ],
    // Russian and Ukrainian
    &[
        &[
            "ответьте",
            "отправьте",
            "ответь",
            "відповідайте",
            "надішліть",
        ],
        &[
            "активировать ссылку",
            "активации ссылки",
            "откройте сообщение снова",
            "скопируйте ссылку",
            "закройте сообщение",
            "активувати посилання",
            "скопіюйте посилання",
            "ссылка станет активной",
        ],
    ],
    // Chinese and Japanese
    &[
        &["回复", "回覆", "返信"],
        &[
            "激活链接",
            "啟用連結",
            "啟動連結",
            "重新打开",
            "重新打開",
            "重新開啟",
            "复制链接",
            "複製連結",
            "リンクを有効",
            "リンクをコピー",
            "再度開い",
            "もう一度開",
        ],
    ],
    // Greek and Hungarian
    &[
        &["απαντήστε", "válaszoljon", "válaszolj"],
        &[
            "ενεργοποιήσετε τον σύνδεσμο",
            "αντιγράψτε τον σύνδεσμο",
            "aktiválja a linket",
            "link aktiválásához",
            "másolja ki a linket",
            "nyissa meg újra",
        ],
    ],
];

const NEW_NUMBER: [Words; 15] = [
    &[
        &[
            "hi mum",
            "hi mom",
            "hi dad",
            "hey mum",
            "hey mom",
            "hey dad",
            "hello mum",
            "hello mom",
            "hello dad",
            "mum it's me",
            "mom it's me",
            "dad it's me",
            "mum its me",
            "mom its me",
            "dad its me",
            "hi grandma",
            "hi granny",
            "hiya mum",
        ],
        &[
            "new number",
            "temporary number",
            "new phone number",
            "broke my phone",
            "phone broke",
            "phone is broken",
            "phone is smashed",
            "smashed my phone",
            "dropped my phone",
            "lost my phone",
            "phone was stolen",
            "phone got stolen",
            "friend's phone",
            "friends phone",
            "phone fell",
        ],
        &[
            "number",
            "text me",
            "message me",
            "whatsapp",
            "write me",
            "save this",
            "msg me",
            "reply",
        ],
    ],
    &[
        &[
            "hallo mama",
            "hallo papa",
            "hi mama",
            "hi papa",
            "hey mama",
            "hey papa",
            "hallo mutti",
            "hallo vati",
            "mama ich bin's",
            "hallo oma",
            "hallo opa",
        ],
        &[
            "neue nummer",
            "neue handynummer",
            "handy ist kaputt",
            "handy kaputt",
            "handy verloren",
            "handy ist ins",
            "handy geht nicht",
            "neues handy",
            "handy gestohlen",
            "handy runtergefallen",
        ],
        &[
            "nummer",
            "schreib mir",
            "melde dich",
            "whatsapp",
            "speicher",
        ],
    ],
    &[
        &[
            "coucou maman",
            "coucou papa",
            "salut maman",
            "salut papa",
            "bonjour maman",
            "bonjour papa",
            "maman c'est moi",
            "papa c'est moi",
            "hello maman",
        ],
        &[
            "nouveau numéro",
            "nouveau numero",
            "téléphone est cassé",
            "cassé mon téléphone",
            "perdu mon téléphone",
            "téléphone cassé",
            "téléphone est tombé",
            "volé mon téléphone",
        ],
        &[
            "numéro",
            "numero",
            "écris-moi",
            "ecris moi",
            "whatsapp",
            "message",
        ],
    ],
    &[
        &[
            "hola mamá",
            "hola mama",
            "hola papá",
            "hola papa",
            "mamá soy yo",
            "papá soy yo",
        ],
        &[
            "nuevo número",
            "número nuevo",
            "nuevo numero",
            "se me rompió el",
            "se me ha roto el",
            "perdí el móvil",
            "perdí mi",
            "móvil roto",
            "se me cayó el",
        ],
        &[
            "número",
            "numero",
            "escríbeme",
            "escribeme",
            "whatsapp",
            "guarda",
        ],
    ],
    &[
        &[
            "ciao mamma",
            "ciao papà",
            "ciao papa",
            "mamma sono io",
            "papà sono io",
        ],
        &[
            "nuovo numero",
            "numero nuovo",
            "telefono si è rotto",
            "rotto il telefono",
            "perso il telefono",
            "cellulare si è rotto",
            "telefono è caduto",
        ],
        &["numero", "scrivimi", "whatsapp", "salva"],
    ],
    &[
        &[
            "olá mãe",
            "ola mae",
            "oi mãe",
            "oi mae",
            "olá pai",
            "oi pai",
            "mãe sou eu",
        ],
        &[
            "novo número",
            "número novo",
            "novo numero",
            "numero novo",
            "telemóvel avariou",
            "celular quebrou",
            "perdi o telemóvel",
            "perdi o celular",
            "telemóvel partiu",
        ],
        &[
            "número", "numero", "whatsapp", "manda", "escreve", "guarda", "salva",
        ],
    ],
    &[
        &[
            "hoi mam",
            "hoi pap",
            "hallo mam",
            "hallo pap",
            "hey mam",
            "hey pap",
            "hai mam",
            "mam ik ben het",
        ],
        &[
            "nieuwe nummer",
            "nieuw nummer",
            "telefoon is kapot",
            "telefoon kapot",
            "telefoon is stuk",
            "telefoon gevallen",
            "telefoon verloren",
        ],
        &["nummer", "app me", "whatsapp", "stuur me", "sla"],
    ],
    &[
        &[
            "hej mamma",
            "hej pappa",
            "hejsan mamma",
            "mamma det är jag",
            "pappa det är jag",
        ],
        &[
            "nytt nummer",
            "nya nummer",
            "telefon gick sönder",
            "mobil gick sönder",
            "tappade mobilen",
            "tappat telefonen",
            "telefonen är trasig",
            "mobilen är trasig",
        ],
        &["nummer", "skriv till mig", "whatsapp", "sms:a", "spara"],
    ],
    &[
        &[
            "hej mor",
            "hej far",
            "hei mamma",
            "hei pappa",
            "hej mama",
            "hej papa",
            "mor det er mig",
        ],
        &[
            "nyt nummer",
            "nye nummer",
            "nytt nummer",
            "telefon er gået i stykker",
            "mobilen er gået",
            "mistet mobilen",
            "telefonen er ødelagt",
            "mistet telefonen",
            "mobilen er ødelagt",
        ],
        &[
            "nummer",
            "skriv til mig",
            "skriv til meg",
            "whatsapp",
            "gem",
            "lagre",
        ],
    ],
    &[
        &[
            "moi äiti",
            "hei äiti",
            "moi isä",
            "hei isä",
            "äiti mä oon",
            "terve äiti",
        ],
        &[
            "uusi numero",
            "uusi puhelinnumero",
            "puhelin meni rikki",
            "puhelin hajosi",
            "puhelin on rikki",
            "kännykkä hajosi",
            "puhelin katosi",
            "uusi numeroni",
        ],
        &["numero", "laita viesti", "whatsapp", "tallenna", "viestiä"],
    ],
    &[
        &[
            "cześć mamo",
            "cześć tato",
            "hej mamo",
            "hej tato",
            "czesc mamo",
            "mamo to ja",
        ],
        &[
            "nowy numer",
            "telefon się zepsuł",
            "zepsuł mi się telefon",
            "zgubiłem telefon",
            "zgubiłam telefon",
            "telefon mi się zepsuł",
            "telefon wpadł",
        ],
        &["numer", "napisz", "whatsapp", "zapisz"],
    ],
    &[
        &[
            "ahoj mami",
            "ahoj tati",
            "ahoj mamko",
            "ahoj mamo",
            "mami to jsem já",
        ],
        &[
            "nové číslo",
            "rozbil se mi",
            "rozbil jsem",
            "ztratil jsem telefon",
            "telefon spadl",
        ],
        &["číslo", "napiš", "whatsapp", "ulož"],
    ],
    &[
        &[
            "anne ben",
            "merhaba anne",
            "selam anne",
            "baba ben",
            "merhaba baba",
            "selam baba",
        ],
        &[
            "yeni numara",
            "telefonum bozuldu",
            "telefonum kırıldı",
            "telefonumu kaybettim",
            "telefonum düştü",
        ],
        &["numara", "yaz", "whatsapp", "kaydet"],
    ],
    &[
        &[
            "привет мам",
            "мама привет",
            "привет пап",
            "мам это я",
            "пап это я",
            "привіт мам",
            "мама это я",
        ],
        &[
            "новый номер",
            "телефон сломался",
            "разбил телефон",
            "потерял телефон",
            "потеряла телефон",
            "сломал телефон",
            "новий номер",
            "телефон зламався",
        ],
        &["номер", "напиши", "whatsapp", "сохрани", "пиши"],
    ],
    &[
        &["妈", "爸", "媽", "お母さん", "母さん", "お父さん"],
        &[
            "换号了",
            "换了新号",
            "新号码",
            "新號碼",
            "手机坏了",
            "手機壞了",
            "手机丢了",
            "携帯が壊れ",
            "スマホが壊れ",
            "番号が変わ",
            "新しい番号",
        ],
        &[
            "微信", "号", "號", "番号", "登録", "whatsapp", "联系", "聯絡",
        ],
    ],
];

/// What makes a code one that proves who somebody is, and not that of a door.
const VERIFIES: &[&str] = &[
    "6-digit",
    "6 digit",
    "six-digit",
    "six digit",
    "verification",
    "by mistake",
    "received",
    "just got",
    "whatsapp",
    "sms",
    "bank",
    "6-stell",
    "sechsstell",
    "versehentlich",
    "aus versehen",
    "bekommen",
    "erhalten",
    "bestätigungs",
    "vérification",
    "par erreur",
    "reçu",
    "recevoir",
    "6 chiffres",
    "verificación",
    "por error",
    "recibido",
    "llegó",
    "llegado",
    "6 dígitos",
    "verifica",
    "per errore",
    "ricevuto",
    "arrivato",
    "por engano",
    "recebeu",
    "recebido",
    "chegou",
    "per ongeluk",
    "ontvangen",
    "binnen",
    "verifier",
    "av misstag",
    "fick",
    "fået",
    "fått",
    "ved en feil",
    "ved en fejl",
    "vahvistus",
    "vahingossa",
    "sait",
    "weryfikac",
    "przez pomyłkę",
    "omyłkowo",
    "dosta",
    "przysz",
    "omylem",
    "přišel",
    "dorazil",
    "ověř",
    "подтвержд",
    "по ошибке",
    "пришел",
    "пришёл",
    "смс",
    "yanlışlıkla",
    "doğrulama",
    "gelen",
    "验证码",
    "驗證碼",
    "認証",
    "確認コード",
    "届いた",
];

const ASKS_FOR_CODE: [Words; 11] = [
    &[
        &[
            "send me the code",
            "send me that code",
            "send me the 6",
            "forward me the code",
            "tell me the code",
            "give me the code",
            "reply with the code",
            "reply with the 6",
            "sent you a code by mistake",
            "send the code to me",
            "text me the code",
        ],
        VERIFIES,
    ],
    &[
        &[
            "schick mir den code",
            "schicke mir den code",
            "sende mir den code",
            "schick mir bitte den code",
            "leite mir den code",
            "nenn mir den code",
            "versehentlich einen code",
            "antworten sie mit dem code",
            "kannst du mir den code schicken",
            "code weiterleiten",
        ],
        VERIFIES,
    ],
    &[
        &[
            "envoie-moi le code",
            "envoie moi le code",
            "envoyez-moi le code",
            "transfère-moi le code",
            "donne-moi le code",
            "répondez avec le code",
        ],
        VERIFIES,
    ],
    &[
        &[
            "envíame el código",
            "enviame el codigo",
            "mándame el código",
            "mandame el codigo",
            "pásame el código",
            "reenvíame el código",
            "responda con el código",
        ],
        VERIFIES,
    ],
    &[
        &[
            "mandami il codice",
            "inviami il codice",
            "inoltrami il codice",
            "rispondi con il codice",
        ],
        VERIFIES,
    ],
    &[
        &[
            "manda-me o código",
            "me manda o código",
            "me envia o código",
            "envia-me o código",
            "me passa o código",
            "responda com o código",
            "me manda o codigo",
        ],
        VERIFIES,
    ],
    &[
        &[
            "stuur me de code",
            "stuur mij de code",
            "stuur de code door",
            "geef me de code",
            "kun je me de code",
        ],
        VERIFIES,
    ],
    &[
        &[
            "skicka koden till mig",
            "kan du skicka koden",
            "svara med koden",
            "send mig koden",
            "send meg koden",
            "svar med koden",
            "kan du sende mig koden",
        ],
        VERIFIES,
    ],
    &[
        &[
            "lähetä koodi minulle",
            "lähetä mulle koodi",
            "vastaa koodilla",
            "lähetätkö sen koodin",
            "lähetä se koodi",
        ],
        VERIFIES,
    ],
    &[
        &[
            "podaj mi kod",
            "prześlij mi kod",
            "wyślij mi kod",
            "pošli mi kód",
            "pošlete mi kód",
            "přepošli mi kód",
        ],
        VERIFIES,
    ],
    &[
        &[
            "пришли мне код",
            "скинь код",
            "отправь мне код",
            "продиктуй код",
            "перешли код",
            "kodu bana gönder",
            "kodu bana at",
            "把验证码发给我",
            "验证码发我",
            "把驗證碼傳給我",
            "認証コードを送って",
            "コードを教えて",
        ],
        VERIFIES,
    ],
];

/// The tricks that a text plays.
pub(super) fn phrases(text: &str) -> Vec<Phrase> {
    let text = plain(text);
    let has = |tricks: &[Words]| {
        tricks.iter().any(|lines| {
            lines
                .iter()
                .all(|words| words.iter().any(|word| text.contains(word)))
        })
    };
    let mut found = Vec::new();
    for (tricks, phrase) in [
        (&ACTIVATE[..], Phrase::ActivateLink),
        (&NEW_NUMBER[..], Phrase::NewNumber),
        (&ASKS_FOR_CODE[..], Phrase::AsksForCode),
    ] {
        if has(tricks) {
            found.push(phrase);
        }
    }
    found
}

/// In small letters, without signs that differ from writer to writer.
fn plain(text: &str) -> String {
    let seen: String = text
        .nfkc()
        .filter(|one| !hidden::is_unseen(*one))
        .collect::<String>()
        .to_lowercase()
        .replace(['’', '`', '´'], "'");
    let words = seen.split(|one: char| {
        one.is_whitespace() || matches!(one, ',' | '!' | '.' | '"' | '“' | '”' | '„' | '(' | ')')
    });
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trick_is_found_and_what_is_like_it_is_not() {
        for (text, phrase) in [
            (
                "Please reply Y, then exit the text message, reopen it to activate the link",
                Phrase::ActivateLink,
            ),
            (
                "Hi Mum! This is my new number, text me on WhatsApp",
                Phrase::NewNumber,
            ),
            (
                "Hallo Mama, mein Handy ist kaputt. Das ist meine neue Nummer, schreib mir",
                Phrase::NewNumber,
            ),
            (
                "Oops, I sent you a code by mistake, can you forward it to me?",
                Phrase::AsksForCode,
            ),
        ] {
            assert_eq!(phrases(text), [phrase], "{text}");
        }
        for text in [
            "Reply YES to confirm your appointment or NO to cancel.",
            "Hi Mum, I lost my phone charger. Can you bring one?",
            "Your code is 482913. Do not share this code with anybody.",
            "Hi Dad, landed safely!",
        ] {
            assert_eq!(phrases(text), [], "{text}");
        }
    }
}
