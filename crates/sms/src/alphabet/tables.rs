//! The alphabets' tables, as TS 23.038 prints them: sixteen characters to a line, eight lines.
//!
//! **Elsewhere**: what they are used for is in the module above.
//!
//! **Always**: `·` is a place where the table has nothing. Marks that combine with what is before
//! them, and letters written from right to left, are given by their numbers, so that they stay in
//! their places on every screen.

#![allow(
    clippy::unicode_not_nfc,
    reason = "the tables have these letters as one character each"
)]

/// The default alphabet (6.2.1).
pub(super) const DEFAULT: [&str; 8] = [
    "@£$¥èéùìòÇ\nØø\rÅå",
    "Δ_ΦΓΛΩΠΨΣΘΞ\u{1b}ÆæßÉ",
    " !\"#¤%&'()*+,-./",
    "0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZÄÖÑÜ§",
    "¿abcdefghijklmno",
    "pqrstuvwxyzäöñüà",
];

/// The default alphabet's extension (6.2.1.1).
pub(super) const EXTENSION: [&str; 8] = [
    "··········\u{c}·····",
    "····^···········",
    "········{}·····\\",
    "············[~]·",
    "|···············",
    "················",
    "·····€··········",
    "················",
];

/// Turkish, locking shift (A.3.1).
pub(super) const TURKISH_LOCKING: [&str; 8] = [
    "@£$¥€éùıòÇ\nĞğ\rÅå",
    "Δ_ΦΓΛΩΠΨΣΘΞ\u{1b}ŞşßÉ",
    " !\"#¤%&'()*+,-./",
    "0123456789:;<=>?",
    "İABCDEFGHIJKLMNO",
    "PQRSTUVWXYZÄÖÑÜ§",
    "çabcdefghijklmno",
    "pqrstuvwxyzäöñüà",
];

/// Turkish, single shift (A.2.1).
pub(super) const TURKISH_SINGLE: [&str; 8] = [
    "··········\u{c}·····",
    "····^···········",
    "········{}·····\\",
    "············[~]·",
    "|······Ğ·İ······",
    "···Ş············",
    "···ç·€·ğ·ı······",
    "···ş············",
];

/// Spanish, single shift (A.2.2).
pub(super) const SPANISH_SINGLE: [&str; 8] = [
    "·········ç\u{c}·····",
    "····^···········",
    "········{}·····\\",
    "············[~]·",
    "|Á·······Í·····Ó",
    "·····Ú··········",
    "·á···€···í·····ó",
    "·····ú··········",
];

/// Portuguese, locking shift (A.3.3).
pub(super) const PORTUGUESE_LOCKING: [&str; 8] = [
    "@£$¥êéúíóç\nÔô\rÁá",
    "Δ_ªÇÀ∞^\\€Ó|\u{1b}ÂâÊÉ",
    " !\"#º%&'()*+,-./",
    "0123456789:;<=>?",
    "ÍABCDEFGHIJKLMNO",
    "PQRSTUVWXYZÃÕÚÜ§",
    "~abcdefghijklmno",
    "pqrstuvwxyzãõ`üà",
];

/// Portuguese, single shift (A.2.3).
pub(super) const PORTUGUESE_SINGLE: [&str; 8] = [
    "·····ê···ç\u{c}Ôô·Áá",
    "··ΦΓ^ΩΠΨΣΘ·····Ê",
    "········{}·····\\",
    "············[~]·",
    "|À·······Í·····Ó",
    "·····Ú·····ÃÕ···",
    "·Â···€···í·····ó",
    "·····ú·····ãõ··â",
];

/// Bengali, locking shift (A.3.4).
pub(super) const BENGALI_LOCKING: [&str; 8] = [
    "\u{981}\u{982}\u{983}অআইঈউঊঋ\nঌ·\r·এ",
    "ঐ··ওঔকখগঘঙচ\u{1b}ছজঝঞ",
    " !টঠডঢণত)(থদ,ধ.ন",
    "0123456789:;·পফ?",
    "বভমযর·ল···শষসহ\u{9bc}ঽ",
    "\u{9be}\u{9bf}\u{9c0}\u{9c1}\u{9c2}\u{9c3}\u{9c4}··\u{9c7}\u{9c8}··\u{9cb}\u{9cc}\u{9cd}",
    "ৎabcdefghijklmno",
    "pqrstuvwxyz\u{9d7}ড়ঢ়ৰৱ",
];

/// Bengali, single shift (A.2.4).
pub(super) const BENGALI_SINGLE: [&str; 8] = [
    "@£$¥¿\"¤%&'\u{c}*+·-/",
    "<=>¡^¡_#*০১·২৩৪৫",
    "৬৭৮৯য়ৠৡ\u{9e2}{}\u{9e3}৲৳৴৵\\",
    "৶৷৸৹৺·······[~]·",
    "|ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZ·····",
    "·····€··········",
    "················",
];

/// Gujarati, locking shift (A.3.5).
pub(super) const GUJARATI_LOCKING: [&str; 8] = [
    "\u{a81}\u{a82}\u{a83}અઆઇઈઉઊઋ\nઌઍ\r·એ",
    "ઐઑ·ઓઔકખગઘઙચ\u{1b}છજઝઞ",
    " !ટઠડઢણત)(થદ,ધ.ન",
    "0123456789:;·પફ?",
    "બભમયર·લળ·વશષસહ\u{abc}ઽ",
    "\u{abe}\u{abf}\u{ac0}\u{ac1}\u{ac2}\u{ac3}\u{ac4}\u{ac5}·\u{ac7}\u{ac8}\u{ac9}·\u{acb}\u{acc}\u{acd}",
    "ૐabcdefghijklmno",
    "pqrstuvwxyzૠૡ\u{ae2}\u{ae3}૱",
];

/// Gujarati, single shift (A.2.5).
pub(super) const GUJARATI_SINGLE: [&str; 8] = [
    "@£$¥¿\"¤%&'\u{c}*+·-/",
    "<=>¡^¡_#*।॥·૦૧૨૩",
    "૪૫૬૭૮૯··{}·····\\",
    "············[~]·",
    "|ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZ·····",
    "·····€··········",
    "················",
];

/// Hindi, locking shift (A.3.6).
pub(super) const HINDI_LOCKING: [&str; 8] = [
    "\u{901}\u{902}\u{903}अआइईउऊऋ\nऌऍ\rऎए",
    "ऐऑऒओऔकखगघङच\u{1b}छजझञ",
    " !टठडढणत)(थद,ध.न",
    "0123456789:;ऩपफ?",
    "बभमयरऱलळऴवशषसह\u{93c}ऽ",
    "\u{93e}\u{93f}\u{940}\u{941}\u{942}\u{943}\u{944}\u{945}\u{946}\u{947}\u{948}\u{949}\u{94a}\u{94b}\u{94c}\u{94d}",
    "ॐabcdefghijklmno",
    "pqrstuvwxyzॲॻॼॾॿ",
];

/// Hindi, single shift (A.2.6).
pub(super) const HINDI_SINGLE: [&str; 8] = [
    "@£$¥¿\"¤%&'\u{c}*+·-/",
    "<=>¡^¡_#*।॥·०१२३",
    "४५६७८९\u{951}\u{952}{}\u{953}\u{954}क़ख़ग़\\",
    "ज़ड़ढ़फ़य़ॠॡ\u{962}\u{963}॰ॱ·[~]·",
    "|ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZ·····",
    "·····€··········",
    "················",
];

/// Kannada, locking shift (A.3.7).
pub(super) const KANNADA_LOCKING: [&str; 8] = [
    "·\u{c82}\u{c83}ಅಆಇಈಉಊಋ\nಌ·\rಎಏ",
    "ಐ·ಒಓಔಕಖಗಘಙಚ\u{1b}ಛಜಝಞ",
    " !ಟಠಡಢಣತ)(ಥದ,ಧ.ನ",
    "0123456789:;·ಪಫ?",
    "ಬಭಮಯರಱಲಳ·ವಶಷಸಹ\u{cbc}ಽ",
    "\u{cbe}\u{cbf}\u{cc0}\u{cc1}\u{cc2}\u{cc3}\u{cc4}·\u{cc6}\u{cc7}\u{cc8}·\u{cca}\u{ccb}\u{ccc}\u{ccd}",
    "\u{cd5}abcdefghijklmno",
    "pqrstuvwxyz\u{cd6}ೠೡ\u{ce2}\u{ce3}",
];

/// Kannada, single shift (A.2.7).
pub(super) const KANNADA_SINGLE: [&str; 8] = [
    "@£$¥¿\"¤%&'\u{c}*+·-/",
    "<=>¡^¡_#*।॥·೦೧೨೩",
    "೪೫೬೭೮೯ೞೱ{}ೲ····\\",
    "············[~]·",
    "|ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZ·····",
    "·····€··········",
    "················",
];

/// Malayalam, locking shift (A.3.8).
pub(super) const MALAYALAM_LOCKING: [&str; 8] = [
    "·\u{d02}\u{d03}അആഇഈഉഊഋ\nഌ·\rഎഏ",
    "ഐ·ഒഓഔകഖഗഘങച\u{1b}ഛജഝഞ",
    " !ടഠഡഢണത)(ഥദ,ധ.ന",
    "0123456789:;·പഫ?",
    "ബഭമയരറലളഴവശഷസഹ·ഽ",
    "\u{d3e}\u{d3f}\u{d40}\u{d41}\u{d42}\u{d43}\u{d44}·\u{d46}\u{d47}\u{d48}·\u{d4a}\u{d4b}\u{d4c}\u{d4d}",
    "\u{d57}abcdefghijklmno",
    "pqrstuvwxyzൠൡ\u{d62}\u{d63}൹",
];

/// Malayalam, single shift (A.2.8).
pub(super) const MALAYALAM_SINGLE: [&str; 8] = [
    "@£$¥¿\"¤%&'\u{c}*+·-/",
    "<=>¡^¡_#*।॥·൦൧൨൩",
    "൪൫൬൭൮൯൰൱{}൲൳൴൵ൺ\\",
    "ൻർൽൾൿ·······[~]·",
    "|ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZ·····",
    "·····€··········",
    "················",
];

/// Oriya, locking shift (A.3.9).
pub(super) const ORIYA_LOCKING: [&str; 8] = [
    "\u{b01}\u{b02}\u{b03}ଅଆଇଈଉଊଋ\nଌ·\r·ଏ",
    "ଐ··ଓଔକଖଗଘଙଚ\u{1b}ଛଜଝଞ",
    " !ଟଠଡଢଣତ)(ଥଦ,ଧ.ନ",
    "0123456789:;·ପଫ?",
    "ବଭମଯର·ଲଳ·ଵଶଷସହ\u{b3c}ଽ",
    "\u{b3e}\u{b3f}\u{b40}\u{b41}\u{b42}\u{b43}\u{b44}··\u{b47}\u{b48}··\u{b4b}\u{b4c}\u{b4d}",
    "\u{b56}abcdefghijklmno",
    "pqrstuvwxyz\u{b57}ୠୡ\u{b62}\u{b63}",
];

/// Oriya, single shift (A.2.9).
pub(super) const ORIYA_SINGLE: [&str; 8] = [
    "@£$¥¿\"¤%&'\u{c}*+·-/",
    "<=>¡^¡_#*।॥·୦୧୨୩",
    "୪୫୬୭୮୯ଡ଼ଢ଼{}ୟ୰ୱ··\\",
    "············[~]·",
    "|ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZ·····",
    "·····€··········",
    "················",
];

/// Punjabi, locking shift (A.3.10).
pub(super) const PUNJABI_LOCKING: [&str; 8] = [
    "\u{a01}\u{a02}\u{a03}ਅਆਇਈਉਊ·\n··\r·ਏ",
    "ਐ··ਓਔਕਖਗਘਙਚ\u{1b}ਛਜਝਞ",
    " !ਟਠਡਢਣਤ)(ਥਦ,ਧ.ਨ",
    "0123456789:;·ਪਫ?",
    "ਬਭਮਯਰ·ਲਲ਼·ਵਸ਼·ਸਹ\u{a3c}·",
    "\u{a3e}\u{a3f}\u{a40}\u{a41}\u{a42}····\u{a47}\u{a48}··\u{a4b}\u{a4c}\u{a4d}",
    "\u{a51}abcdefghijklmno",
    "pqrstuvwxyz\u{a70}\u{a71}ੲੳੴ",
];

/// Punjabi, single shift (A.2.10).
pub(super) const PUNJABI_SINGLE: [&str; 8] = [
    "@£$¥¿\"¤%&'\u{c}*+·-/",
    "<=>¡^¡_#*।॥·੦੧੨੩",
    "੪੫੬੭੮੯ਖ਼ਗ਼{}ਜ਼ੜਫ਼\u{a75}·\\",
    "············[~]·",
    "|ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZ·····",
    "·····€··········",
    "················",
];

/// Tamil, locking shift (A.3.11).
pub(super) const TAMIL_LOCKING: [&str; 8] = [
    "·\u{b82}ஃஅஆஇஈஉஊ·\n··\rஎஏ",
    "ஐ·ஒஓஔக···ஙச\u{1b}·ஜ·ஞ",
    " !ட···ணத)(··,·.ந",
    "0123456789:;னப·?",
    "··மயரறலளழவஶஷஸஹ··",
    "\u{bbe}\u{bbf}\u{bc0}\u{bc1}\u{bc2}···\u{bc6}\u{bc7}\u{bc8}·\u{bca}\u{bcb}\u{bcc}\u{bcd}",
    "ௐabcdefghijklmno",
    "pqrstuvwxyz\u{bd7}௰௱௲௹",
];

/// Tamil, single shift (A.2.11).
pub(super) const TAMIL_SINGLE: [&str; 8] = [
    "@£$¥¿\"¤%&'\u{c}*+·-/",
    "<=>¡^¡_#*।॥·௦௧௨௩",
    "௪௫௬௭௮௯௳௴{}௵௶௷௸௺\\",
    "············[~]·",
    "|ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZ·····",
    "·····€··········",
    "················",
];

/// Telugu, locking shift (A.3.12).
pub(super) const TELUGU_LOCKING: [&str; 8] = [
    "\u{c01}\u{c02}\u{c03}అఆఇఈఉఊఋ\nఌ·\rఎఏ",
    "ఐ·ఒఓఔకఖగఘఙచ\u{1b}ఛజఝఞ",
    " !టఠడఢణత)(థద,ధ.న",
    "0123456789:;·పఫ?",
    "బభమయరఱలళ·వశషసహ·ఽ",
    "\u{c3e}\u{c3f}\u{c40}\u{c41}\u{c42}\u{c43}\u{c44}·\u{c46}\u{c47}\u{c48}·\u{c4a}\u{c4b}\u{c4c}\u{c4d}",
    "\u{c55}abcdefghijklmno",
    "pqrstuvwxyz\u{c56}ౠౡ\u{c62}\u{c63}",
];

/// Telugu, single shift (A.2.12).
pub(super) const TELUGU_SINGLE: [&str; 8] = [
    "@£$¥¿\"¤%&'\u{c}*+·-/",
    "<=>¡^¡_#*···౦౧౨౩",
    "౪౫౬౭౮౯ౘౙ{}౸౹౺౻౼\\",
    "౽౾౿·········[~]·",
    "|ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZ·····",
    "·····€··········",
    "················",
];

/// Urdu, locking shift (A.3.13).
pub(super) const URDU_LOCKING: [&str; 8] = [
    "\u{627}\u{622}\u{628}\u{67b}\u{680}\u{67e}\u{6a6}\u{62a}\u{6c2}\u{67f}\n\u{679}\u{67d}\r\u{67a}\u{67c}",
    "\u{62b}\u{62c}\u{681}\u{684}\u{683}\u{685}\u{686}\u{687}\u{62d}\u{62e}\u{62f}\u{1b}\u{68c}\u{688}\u{689}\u{68a}",
    " !\u{68f}\u{68d}\u{630}\u{631}\u{691}\u{693})(\u{699}\u{632},\u{696}.\u{698}",
    "0123456789:;\u{69a}\u{633}\u{634}?",
    "\u{635}\u{636}\u{637}\u{638}\u{639}\u{641}\u{642}\u{6a9}\u{6aa}\u{6ab}\u{6af}\u{6b3}\u{6b1}\u{644}\u{645}\u{646}",
    "\u{6ba}\u{6bb}\u{6bc}\u{648}\u{6c4}\u{6d5}\u{6c1}\u{6be}\u{621}\u{6cc}\u{6d0}\u{6d2}\u{64d}\u{650}\u{64f}\u{657}",
    "\u{654}abcdefghijklmno",
    "pqrstuvwxyz\u{655}\u{651}\u{653}\u{656}\u{670}",
];

/// Urdu, single shift (A.2.13).
pub(super) const URDU_SINGLE: [&str; 8] = [
    "@£$¥¿\"¤%&'\u{c}*+·-/",
    "<=>¡^¡_#*\u{600}\u{601}·۰۱۲۳",
    "۴۵۶۷۸۹،\u{60d}{}؎؏\u{610}\u{611}\u{612}\\",
    "\u{613}\u{614}\u{61b}\u{61f}\u{640}\u{652}\u{658}\u{66b}\u{66c}\u{672}\u{673}\u{6cd}[~]\u{6d4}",
    "|ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZ·····",
    "·····€··········",
    "················",
];
