//! Tests of keys and of forged tokens.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::{
    IdentityOptions,
    key_file::{ConfiguredKey, KeyFileError},
};

/// Keys of tests, made with OpenSSL.
const RSA_PKCS1: &str = include_str!("rsa-pkcs1.pem");
const RSA_PKCS8: &str = include_str!("rsa-pkcs8.pem");
const ED25519: &str = include_str!("ed25519.pem");

fn with_key(pem: &str, id: Option<&str>) -> IdentityFixture {
    let key = ConfiguredKey::from_pem(pem, id).unwrap();
    IdentityFixture::new(IdentitySettings { key: Some(key), ..settings() })
}

async fn key_set(fixture: &IdentityFixture) -> Vec<Value> {
    // A commit of this instance is cached, so that the key set is that of the last sign-in.
    let set = fixture.identity.key_set().await.unwrap();
    set["keys"].as_array().unwrap().clone()
}

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    users: IdentityOptions,
}

#[test]
fn a_key_file_without_end_is_refused() {
    let arguments = ["neap", "--user-auth-type=basic", "--jwt-private-key=/dev/zero"];
    let users = CommandLine::try_parse_from(arguments).unwrap().users;
    let refused = users.settings().unwrap_err().to_string();
    assert!(refused.ends_with("the file has more than 1048576 bytes"), "{refused}");
}

#[tokio::test]
async fn keys_of_each_form_sign_tokens() {
    for (pem, algorithm) in [(RSA_PKCS1, "RS256"), (RSA_PKCS8, "RS256"), (ED25519, "EdDSA")] {
        let fixture = with_key(pem, Some("mine"));
        let ann = fixture.user("ann").await;
        let token = fixture.sign_in("ann", PASSWORD).await.unwrap().access_token;
        assert_eq!(fixture.verify(&token, Duration::ZERO).await, Ok(ann));
        let keys = key_set(&fixture).await;
        let [key] = keys.as_slice() else {
            panic!("{keys:?}");
        };
        assert_eq!((&key["kid"], &key["alg"]), (&json!("mine"), &json!(algorithm)));
        assert!(key.get("d").is_none() && key.get("secret").is_none());
    }
}

#[tokio::test]
async fn generated_keys_are_shared_and_published_without_their_secret() {
    let fixture = IdentityFixture::new(settings());
    fixture.user("ann").await;
    assert!(key_set(&fixture).await.is_empty());
    fixture.sign_in("ann", PASSWORD).await.unwrap();
    fixture.sign_in("ann", PASSWORD).await.unwrap();
    let keys = key_set(&fixture).await;
    assert_eq!(keys.len(), 1);
    let names: Vec<&String> = keys[0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"]);
}

#[test]
fn the_id_of_a_key_is_its_thumbprint_by_default() {
    let one = ConfiguredKey::from_pem(RSA_PKCS1, None).unwrap();
    let other = ConfiguredKey::from_pem(RSA_PKCS8, None).unwrap();
    assert_eq!(one.id, other.id, "the same key in two forms");
    assert_eq!(one.id.len(), 43);
    // The example of RFC 8037, appendix A.3.
    let key = neap_catalog::VerificationKey::Ed25519 {
        x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
    };
    let thumbprint = crate::key_file::thumbprint(&key);
    assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn unusable_key_files_have_clear_errors() {
    let of = |pem: &str| ConfiguredKey::from_pem(pem, None).unwrap_err();
    assert_eq!(of(""), KeyFileError::NoKey);
    assert_eq!(
        of("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"),
        KeyFileError::NoKey
    );
    assert_eq!(of("-----BEGIN PRIVATE KEY-----"), KeyFileError::NoKey);
    let pem =
        |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----");
    assert_eq!(of(&pem("ENCRYPTED PRIVATE KEY", "AA==")), KeyFileError::Encrypted);
    let old = pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\n\nAA==");
    assert_eq!(of(&old), KeyFileError::Encrypted);
    assert!(matches!(of(&pem("EC PRIVATE KEY", "AA==")), KeyFileError::Unsupported { .. }));
    assert_eq!(of(&pem("PRIVATE KEY", "AA==")), KeyFileError::Unusable);
    assert_eq!(of(&pem("RSA PRIVATE KEY", "?")), KeyFileError::Unusable);
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let fixture = with_key(RSA_PKCS1, Some("mine"));
    let ann = fixture.user("ann").await;
    let tokens = fixture.sign_in("ann", PASSWORD).await.unwrap();
    let token = &tokens.access_token;
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("not three parts");
    };
    let header_of = |alg: &str, typ: &str| part(&json!({"alg": alg, "kid": "mine", "typ": typ}));
    let critical = part(&json!({"alg": "RS256", "kid": "mine", "typ": "at+jwt", "crit": ["x"]}));
    let other_kid = part(&json!({"alg": "RS256", "kid": "other", "typ": "at+jwt"}));
    let no_kid = part(&json!({"alg": "RS256", "typ": "at+jwt"}));
    let decoded: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let mut later = decoded.clone();
    later["exp"] = json!(9_999_999_999_u64);
    for forged in [
        format!("{}.{claims}.", header_of("none", "at+jwt")),
        format!("{}.{claims}.{signature}", header_of("none", "at+jwt")),
        format!("{}.{claims}.{signature}", header_of("HS256", "at+jwt")),
        format!("{}.{claims}.{signature}", header_of("EdDSA", "at+jwt")),
        format!("{critical}.{claims}.{signature}"),
        format!("{no_kid}.{claims}.{signature}"),
        format!("{header}.{}.{signature}", part(&later)),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        format!("{token}."),
        tokens.refresh_token.clone(),
        String::new(),
        ".".repeat(20_000),
    ] {
        let refused = fixture.verify(&forged, Duration::ZERO).await;
        assert_eq!(refused, Err(TokenRejection::Invalid), "{forged}");
    }
    let unknown = format!("{other_kid}.{claims}.{signature}");
    let unknown = fixture.verify(&unknown, Duration::ZERO).await;
    assert_eq!(unknown, Err(TokenRejection::Unknown));
    assert_eq!(fixture.verify(token, Duration::ZERO).await, Ok(ann));
    let root = fixture.catalog.root(Duration::ZERO).await.unwrap().value;
    let now = fixture.catalog.bucket().clock().now().unwrap();
    let issuer = verify_access_token(&root, "another issuer", token, now);
    assert_eq!(issuer, Err(TokenRejection::Invalid));
}

#[tokio::test]
async fn a_token_of_another_cluster_with_the_same_key_is_refused() {
    let (one, other) = (with_key(ED25519, None), with_key(ED25519, None));
    one.user("ann").await;
    other.user("ann").await;
    let token = one.sign_in("ann", PASSWORD).await.unwrap().access_token;
    other.sign_in("ann", PASSWORD).await.unwrap();
    let refused = other.verify(&token, Duration::ZERO).await;
    assert_eq!(refused, Err(TokenRejection::Invalid));
}
