//! Tests of sign-ins over a store in memory.

mod keys;
mod provider;

use std::{sync::Arc, time::Duration};

use neap_bucket::{Bucket, ProtocolMargins, World};
use neap_catalog::{Catalog, NewUser, RoleId, UserChange, UserId};

use crate::{
    IdentityError, IdentityService, IdentitySettings, PasswordCost, TokenPair, TokenRejection,
    is_access_token, verify_access_token,
};

const PASSWORD: &str = "correct horse";

const CHEAP: PasswordCost = PasswordCost { memory_kib: 64, passes: 1 };

fn settings() -> IdentitySettings {
    IdentitySettings { password_cost: CHEAP, ..IdentitySettings::default() }
}

/// A service, and its catalog.
struct IdentityFixture {
    catalog: Arc<Catalog>,
    identity: IdentityService,
}

impl IdentityFixture {
    fn new(settings: IdentitySettings) -> Self {
        Self::with_world(settings, World::system())
    }

    fn with_world(settings: IdentitySettings, world: World) -> Self {
        let bucket = Bucket::in_memory(world);
        let catalog = Arc::new(Catalog::new(bucket, ProtocolMargins::LOCAL, None));
        let identity = IdentityService::new(Arc::clone(&catalog), settings);
        Self { identity: identity.unwrap(), catalog }
    }

    async fn user(&self, name: &str) -> UserId {
        let new = NewUser {
            name: name.to_owned(),
            password: Some(self.identity.hash_password(PASSWORD).await.unwrap()),
            roles: [RoleId::ADMIN].into(),
            ..NewUser::default()
        };
        self.catalog.create_user(&new, None).await.unwrap().0
    }

    async fn sign_in(&self, name: &str, password: &str) -> Result<TokenPair, IdentityError> {
        self.identity.sign_in(name, password, "client").await
    }

    /// Verifies an access token after some time.
    async fn verify(&self, token: &str, after: Duration) -> Result<UserId, TokenRejection> {
        let root = self.catalog.root(Duration::ZERO).await.unwrap().value;
        let now = self.catalog.bucket().clock().now().unwrap().plus(after);
        let issuer = IdentitySettings::DEFAULT_ISSUER;
        verify_access_token(&root, issuer, token, now).map(|verified| verified.user)
    }
}

#[tokio::test]
async fn a_user_signs_in_with_the_right_password_alone() {
    let fixture = IdentityFixture::new(settings());
    let ann = fixture.user("ann").await;
    let tokens = fixture.sign_in("ann", PASSWORD).await.unwrap();
    assert_eq!((tokens.user_id, tokens.username.as_str()), (ann, "ann"));
    assert_eq!(fixture.verify(&tokens.access_token, Duration::ZERO).await, Ok(ann));
    let shown = format!("{tokens:?}");
    assert_eq!(shown, "TokenPair of user 1");
    for (name, password) in [
        ("ann", "wrong horse"),
        ("ann", ""),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("Ann", PASSWORD),
    ] {
        let refused = fixture.sign_in(name, password).await.unwrap_err();
        assert_eq!(refused.to_string(), "the user was not authenticated");
    }
}

#[tokio::test]
async fn wrong_attempts_are_bounded_by_name_and_leave_others_alone() {
    let fixture = IdentityFixture::new(settings());
    fixture.user("ann").await;
    fixture.user("bob").await;
    let attempt = async |name: &str, password: &str, client: &str| {
        let signed_in = fixture.identity.sign_in(name, password, client).await;
        signed_in.map(drop)
    };
    for number in 0..10 {
        let client = format!("client {number}");
        let refused = attempt("ann", "wrong horse", &client).await;
        assert!(matches!(refused, Err(IdentityError::WrongCredentials)));
    }
    let throttled = attempt("ann", PASSWORD, "another").await;
    assert!(matches!(throttled, Err(IdentityError::Throttled { .. })));
    assert!(attempt("bob", PASSWORD, "another").await.is_ok());
    let unknown = attempt("nobody", PASSWORD, "another").await;
    assert!(matches!(unknown, Err(IdentityError::WrongCredentials)));
}

#[tokio::test]
async fn a_refresh_token_renews_once_and_its_replay_ends_the_session() {
    let fixture = IdentityFixture::new(settings());
    let ann = fixture.user("ann").await;
    let first = fixture.sign_in("ann", PASSWORD).await.unwrap();
    let refresh = async |token: &str| fixture.identity.refresh(token, "client").await;
    let second = refresh(&first.refresh_token).await.unwrap();
    assert_eq!(fixture.verify(&second.access_token, Duration::ZERO).await, Ok(ann));
    let access = refresh(&second.access_token).await;
    assert!(matches!(access, Err(IdentityError::WrongCredentials)));
    let replayed = refresh(&first.refresh_token).await;
    assert!(matches!(replayed, Err(IdentityError::Replayed)));
    for token in [&first, &second] {
        let ended = fixture.verify(&token.access_token, Duration::ZERO).await;
        assert_eq!(ended, Err(TokenRejection::Unknown));
    }
    let ended = refresh(&second.refresh_token).await;
    assert!(matches!(ended, Err(IdentityError::WrongCredentials)));
}

#[tokio::test]
async fn access_tokens_are_told_from_passwords_with_dots() {
    let fixture = IdentityFixture::new(settings());
    fixture.user("ann").await;
    let tokens = fixture.sign_in("ann", PASSWORD).await.unwrap();
    assert!(is_access_token(&tokens.access_token));
    assert!(is_access_token(&format!("{}.x", tokens.access_token)));
    for other in [&*tokens.refresh_token, "", "..", "one.two.three", "e30.e30.e30", PASSWORD] {
        assert!(!is_access_token(other), "{other}");
    }
}

#[tokio::test]
async fn an_access_token_expires() {
    let fixture = IdentityFixture::new(settings());
    let ann = fixture.user("ann").await;
    let token = fixture.sign_in("ann", PASSWORD).await.unwrap().access_token;
    let lifetime = IdentitySettings::DEFAULT_ACCESS_LIFETIME;
    let early = lifetime - Duration::from_secs(10);
    assert_eq!(fixture.verify(&token, early).await, Ok(ann));
    let late = lifetime + Duration::from_secs(1);
    assert_eq!(fixture.verify(&token, late).await, Err(TokenRejection::Expired));
}

#[tokio::test]
async fn a_required_reset_prevents_the_sign_in_until_the_password_is_replaced() {
    let fixture = IdentityFixture::new(settings());
    let ann = fixture.user("ann").await;
    let token = fixture.sign_in("ann", PASSWORD).await.unwrap().access_token;
    let change = UserChange { requires_reset: Some(true), ..UserChange::default() };
    fixture.catalog.update_user(ann, &change, None).await.unwrap();
    let ended = fixture.verify(&token, Duration::ZERO).await;
    assert_eq!(ended, Err(TokenRejection::Unknown));
    let refused = fixture.sign_in("ann", PASSWORD).await;
    assert!(matches!(refused, Err(IdentityError::ResetRequired)));
    let unknown = fixture.sign_in("ann", "wrong horse").await;
    assert!(matches!(unknown, Err(IdentityError::WrongCredentials)));
    let reset = async |old: &str, new: &str| {
        let reset = fixture.identity.reset_password("ann", old, new, "client");
        reset.await
    };
    let same = reset(PASSWORD, PASSWORD).await;
    assert!(matches!(same, Err(IdentityError::SamePassword)));
    let wrong = reset("wrong horse", "battery staple").await;
    assert!(matches!(wrong, Err(IdentityError::WrongCredentials)));
    let short = reset(PASSWORD, "short").await;
    assert!(matches!(short, Err(IdentityError::PasswordLength)));
    reset(PASSWORD, "battery staple").await.unwrap();
    assert!(fixture.sign_in("ann", PASSWORD).await.is_err());
    assert!(fixture.sign_in("ann", "battery staple").await.is_ok());
}

#[tokio::test]
async fn disabled_and_expired_users_do_not_sign_in() {
    let fixture = IdentityFixture::new(settings());
    let ann = fixture.user("ann").await;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    fixture.catalog.update_user(ann, &change, None).await.unwrap();
    let refused = fixture.sign_in("ann", PASSWORD).await;
    assert!(matches!(refused, Err(IdentityError::WrongCredentials)));
    let now = fixture.catalog.bucket().clock().now();
    let new = NewUser {
        name: "bob".to_owned(),
        password: Some(fixture.identity.hash_password(PASSWORD).await.unwrap()),
        expiry: now,
        ..NewUser::default()
    };
    fixture.catalog.create_user(&new, None).await.unwrap();
    let refused = fixture.sign_in("bob", PASSWORD).await;
    assert!(matches!(refused, Err(IdentityError::WrongCredentials)));
}

#[tokio::test]
async fn passwords_are_refused_unless_they_are_enabled() {
    let fixture = IdentityFixture::new(IdentitySettings { allows_passwords: false, ..settings() });
    fixture.user("ann").await;
    let refused = fixture.sign_in("ann", PASSWORD).await;
    assert!(matches!(refused, Err(IdentityError::NotEnabled { .. })));
}
