//! Tests of requests with the access tokens of users.

use neap_catalog::{NewRole, NewUser, RoleId, UserChange, UserId};
use neap_identity::{IdentityService, IdentitySettings, PasswordCost, TokenPair};

use super::*;

const PASSWORD: &str = "correct horse";

/// A server with users, and a service elsewhere that signs them in.
struct UserFixture {
    stage: AuthFixture,
    identity: IdentityService,
}

fn settings() -> IdentitySettings {
    IdentitySettings {
        password_cost: PasswordCost { memory_kib: 64, passes: 1 },
        ..IdentitySettings::default()
    }
}

impl UserFixture {
    async fn new() -> Self {
        let stage = AuthFixture::with(AuthSettings {
            session_issuer: Some(IdentitySettings::DEFAULT_ISSUER.to_owned()),
            ..AuthSettings::default()
        })
        .await;
        let identity = IdentityService::new(Arc::clone(&stage.elsewhere), settings());
        Self { stage, identity: identity.unwrap() }
    }

    async fn user(&self, name: &str, roles: &[RoleId]) -> UserId {
        let new = NewUser {
            name: name.to_owned(),
            password: Some(self.identity.hash_password(PASSWORD).await.unwrap()),
            roles: roles.iter().copied().collect(),
            ..NewUser::default()
        };
        self.stage.elsewhere.create_user(&new, None).await.unwrap().0
    }

    async fn sign_in(&self, name: &str) -> TokenPair {
        let signed_in = self.identity.sign_in(name, PASSWORD, "client").await;
        signed_in.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_has_the_permissions_of_the_roles() {
    let fixture = UserFixture::new().await;
    let stage = &fixture.stage;
    stage.elsewhere.create_database("one", None).await.unwrap();
    let reader = NewRole {
        name: "reader".to_owned(),
        description: None,
        permissions: vec!["db:one:read".parse().unwrap()],
    };
    let reader = stage.elsewhere.create_role(&reader, None).await.unwrap().id;
    fixture.user("ann", &[RoleId::ADMIN]).await;
    fixture.user("audit", &[RoleId::AUDITOR]).await;
    let bob = fixture.user("bob", &[RoleId::MEMBER]).await;
    let ann = fixture.sign_in("ann").await.access_token;
    let audit = fixture.sign_in("audit").await.access_token;
    let member = fixture.sign_in("bob").await.access_token;
    assert_eq!(stage.query(&ann).await, "200 ann");
    assert_eq!(stage.query(&audit).await, "200 audit");
    assert_eq!(stage.query(&member).await, FORBIDDEN);
    let with = |token: &str| format!("Bearer {token}");
    let write = async |token: &str| {
        let bearer = with(token);
        stage.send("POST", "/api/v2/write", Some(&bearer)).await
    };
    assert_eq!(write(&ann).await, "200 ann");
    assert_eq!(write(&audit).await, FORBIDDEN);
    let unlisted = async |token: &str| {
        let bearer = with(token);
        stage.send("GET", "/api/v3/unlisted", Some(&bearer)).await
    };
    assert_eq!(unlisted(&audit).await, "200 audit");
    assert_eq!(unlisted(&member).await, FORBIDDEN);
    let roles = [RoleId::MEMBER, reader].into();
    let granted = stage.elsewhere.set_user_roles(bob, &roles, None).await;
    granted.unwrap();
    stage.sleep(Duration::from_secs(6)).await;
    assert_eq!(stage.query(&member).await, "200 bob");
}

#[tokio::test(start_paused = true)]
async fn a_session_of_another_instance_is_accepted_at_once_and_costs_no_request() {
    let fixture = UserFixture::new().await;
    let stage = &fixture.stage;
    stage.query(stage.admin.secret.reveal()).await;
    fixture.user("ann", &[RoleId::ADMIN]).await;
    let token = fixture.sign_in("ann").await.access_token;
    assert_eq!(stage.query(&token).await, "200 ann");
    let before = stage.gets();
    for _ in 0..10 {
        assert_eq!(stage.query(&token).await, "200 ann");
    }
    assert_eq!(stage.gets(), before);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_elsewhere_is_refused_soon() {
    let fixture = UserFixture::new().await;
    let stage = &fixture.stage;
    let ann = fixture.user("ann", &[RoleId::ADMIN]).await;
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    let one = fixture.sign_in("ann").await.access_token;
    let other = fixture.sign_in("ann").await.access_token;
    assert_eq!(stage.query(&one).await, "200 ann");
    let root = stage.catalog.known_root().unwrap().value;
    let now = stage.catalog.bucket().clock().now().unwrap();
    let issuer = IdentitySettings::DEFAULT_ISSUER;
    let session = neap_identity::verify_access_token(&root, issuer, &one, now).unwrap();
    fixture.identity.sign_out(session.session).await.unwrap();
    stage.sleep(Duration::from_secs(6)).await;
    assert_eq!(stage.query(&one).await, UNAUTHENTICATED);
    assert_eq!(stage.query(&other).await, "200 ann");
    let disabled = stage.elsewhere.update_user(ann, &disable, None).await;
    disabled.unwrap();
    stage.sleep(Duration::from_secs(6)).await;
    assert_eq!(stage.query(&other).await, UNAUTHENTICATED);
}

#[tokio::test(start_paused = true)]
async fn expired_access_tokens_and_refresh_tokens_are_refused() {
    let fixture = UserFixture::new().await;
    let stage = &fixture.stage;
    fixture.user("ann", &[RoleId::ADMIN]).await;
    let tokens = fixture.sign_in("ann").await;
    assert_eq!(stage.query(&tokens.refresh_token).await, UNAUTHENTICATED);
    assert_eq!(stage.query(&tokens.access_token).await, "200 ann");
    let lifetime = IdentitySettings::DEFAULT_ACCESS_LIFETIME;
    stage.sleep(lifetime + Duration::from_secs(1)).await;
    assert_eq!(stage.query(&tokens.access_token).await, UNAUTHENTICATED);
    assert_eq!(stage.failures("expired"), "1");
    let renewed = fixture
        .identity
        .refresh(&tokens.refresh_token, "client")
        .await
        .unwrap()
        .access_token;
    assert_eq!(stage.query(&renewed).await, "200 ann");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_users_are_unknown_unless_users_can_sign_in() {
    let fixture = UserFixture::new().await;
    fixture.user("ann", &[RoleId::ADMIN]).await;
    let token = fixture.sign_in("ann").await.access_token;
    let closed = AuthFixture::new().await;
    assert_eq!(closed.query(&token).await, UNAUTHENTICATED);
}

#[tokio::test(start_paused = true)]
async fn forged_tokens_use_up_the_attempts_of_their_address() {
    let fixture = UserFixture::new().await;
    let stage = &fixture.stage;
    fixture.user("ann", &[RoleId::ADMIN]).await;
    let token = fixture.sign_in("ann").await.access_token;
    assert_eq!(stage.query(&token).await, "200 ann");
    let attempts = AuthSettings::default().failures;
    for number in 0..attempts {
        let forged = format!("{token}{number}");
        assert_eq!(stage.query(&forged).await, UNAUTHENTICATED);
    }
    let forged = stage.query(&format!("{token}x")).await;
    assert!(forged.starts_with("429"), "{forged}");
    assert_eq!(stage.query(&token).await, "200 ann");
}
