//! Password hashes of every format, their upgrade, and what a new password has to be.

use signet::password::format::recognise;

/// Hashes of `pass word-é` in every format that Django has written.
const VECTORS: &[(&str, &str)] = &[
    ("pbkdf2_sha256", "pbkdf2_sha256$1000$saltSALT01234567890123$5edrtbkFP98aFeHDJn77BDZc8mJXaMcGhBHWUdVfDTo="),
    ("pbkdf2_sha1", "pbkdf2_sha1$1000$saltSALT01234567890123$j2Zo+4vo4h953TT0AAR4JF8wzN0="),
    (
        "argon2id",
        "argon2$argon2id$v=19$m=64,t=1,p=1$c2FsdFNBTFQwMTIzNDU2Nzg5MDEyMw$KniJIVF6kpiS7ExyM8rBBnFxoASOCTJcqAe//22LfSg",
    ),
    (
        "argon2id",
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdFNBTFQwMTIzNDU2Nzg5MDEyMw$KniJIVF6kpiS7ExyM8rBBnFxoASOCTJcqAe//22LfSg",
    ),
    ("argon2i", "argon2$argon2i$m=64,t=1,p=1$c2FsdFNBTFQwMTIzNDU2Nzg5MDEyMw$9KVt2l8NQVcNT0uY/4itrQ"),
    ("argon2i", "argon2$argon2i$v=19$m=64,t=1,p=1$c2FsdFNBTFQwMTIzNDU2Nzg5MDEyMw$6tU9US3tCp9B9GC007WhVg"),
    ("argon2d", "argon2$argon2d$v=19$m=64,t=1,p=1$c2FsdFNBTFQwMTIzNDU2Nzg5MDEyMw$+uM+WKIMf4Aimd/vmbmpjg"),
    ("bcrypt_sha256", "bcrypt_sha256$$2b$04$skwD03JkQQSb2kZOim0./unQBG74mjj9RrWi7a8bUVIbVieo1qriy"),
    ("bcrypt", "bcrypt$$2b$04$skwD03JkQQSb2kZOim0./udeo201OWil9Srw7S/Eq1K9vQ3yY5wwC"),
    (
        "scrypt",
        "scrypt$16$saltSALT01234567890123$8$1$3WJdaktCTb8Ki1OipDQM3FOkYdgNRmIA1fgqcV1MBG1O3HbmVkIIsc71dHrTglxLDJYr+NoNtMRg+I01FE8C5g==",
    ),
    ("md5", "md5$saltSALT01234567890123$bca5f936ca3f0335140c8f884f50d668"),
];

#[test]
fn every_format_of_django_is_told_by_its_name() {
    for (name, encoded) in VECTORS {
        assert_eq!(recognise(encoded).map(|format| format.name()), Ok(*name), "{encoded}");
    }
    let sum = "bca5f936ca3f0335140c8f884f50d668";
    for (name, encoded) in [
        ("unsalted_md5", sum.to_owned()),
        ("unsalted_md5", format!("md5$${sum}")),
        ("unsalted_sha1", format!("sha1$${sum}01234567")),
        ("sha1", format!("sha1$salt${sum}01234567")),
        ("unusable", "!Xy".to_owned()),
        ("unusable", String::new()),
    ] {
        assert_eq!(recognise(&encoded).map(|format| format.name()), Ok(name), "{encoded}");
    }
}

#[test]
fn what_is_not_recognised_is_told_in_words_that_do_not_quote_it() {
    let salt = "c2FsdFNBTFQwMTIzNDU2Nzg5MDEyMw";
    let key = "KniJIVF6kpiS7ExyM8rBBnFxoASOCTJcqAe//22LfSg";
    for (words, encoded) in [
        ("malformed pbkdf2_sha256", "pbkdf2_sha256$1$s".to_owned()),
        ("malformed pbkdf2_sha256", "pbkdf2_sha256$+1$s$5edrtbkFP98aFeHDJn77BDZc8mJXaMcGhBHWUdVfDTo=".to_owned()),
        ("malformed argon2", "argon2$bad".to_owned()),
        ("malformed argon2", format!("argon2$argon2id$v=18$m=64,t=1,p=1${salt}${key}")),
        ("malformed bcrypt", "bcrypt$$2x$04$skwD03JkQQSb2kZOim0./udeo201OWil9Srw7S/Eq1K9vQ3yY5wwC".to_owned()),
        ("malformed md5", "md5$salt$bca5".to_owned()),
        ("crypt", "crypt$$ab1234567890.".to_owned()),
        ("unknown", "whirlpool$x$y".to_owned()),
        ("unknown", "plaintext".to_owned()),
        ("longer", "x".repeat(513)),
        (
            "5,000,000 iterations",
            "pbkdf2_sha256$99999999999999999999$s$5edrtbkFP98aFeHDJn77BDZc8mJXaMcGhBHWUdVfDTo=".to_owned(),
        ),
        ("256 MiB", format!("argon2$argon2id$v=19$m=4194304,t=1,p=1${salt}${key}")),
        ("16 passes", format!("argon2$argon2id$v=19$m=64,t=17,p=1${salt}${key}")),
        ("16 lanes", format!("argon2$argon2id$v=19$m=4096,t=1,p=17${salt}${key}")),
        ("1 GiB", format!("argon2$argon2id$v=19$m=262144,t=5,p=1${salt}${key}")),
        ("15 rounds", "bcrypt$$2b$31$skwD03JkQQSb2kZOim0./udeo201OWil9Srw7S/Eq1K9vQ3yY5wwC".to_owned()),
        ("256 MiB", VECTORS[9].1.replace("$16$", "$1048576$")),
        ("256 MiB", VECTORS[9].1.replace("$8$1$", "$8$4294967296$")),
    ] {
        let why = recognise(&encoded).map(|format| format.name()).unwrap_err().to_string();
        assert!(why.contains(words), "{encoded}: {why}");
        assert!(!why.contains("c2Fsd") && !why.contains("skwD") && !why.contains("salt"), "{why}");
    }
    // What Django makes by default is well within the caps.
    for encoded in [
        VECTORS[0].1.replace("$1000$", "$1200000$"),
        VECTORS[2].1.replace("m=64,t=1,p=1", "m=102400,t=2,p=8"),
        VECTORS[7].1.replace("$04$", "$12$"),
        VECTORS[9].1.replace("$16$", "$16384$").replace("$8$1$", "$8$5$"),
    ] {
        recognise(&encoded).unwrap();
    }
}
