//! Version-1 routes about accounts.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v1;
use serde_json::Value;

use crate::accounts::{self, Caller, Device, NewAccount};
use crate::auth::throttle::Allowance;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::read_json;
use crate::relay::plans::{self, PlanEvent};

/// Largest JSON body of these routes, as the old servers.
const MAX_JSON_BYTES: usize = 102_400;

/// `POST /api/register`
pub async fn register(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    throttled(&app, caller, "register", async {
        let request: v1::RegisterRequest = read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
        let (Some(email), Some(password)) = (request.email, request.password) else {
            return Err(Error::bad_request("e-mail and password are required"));
        };
        let new = NewAccount {
            email,
            password,
            device_uuid: request.device_uuid.or(request.device_uuid_camel),
            hardware_device_id: request.hardware_device_id,
            plan_gb: accounts::rules::plan_gb(request.plan_gb.as_ref()),
        };
        let signed_in = accounts::register(&app, caller, new).await?;
        let answer = v1::RegisterAnswer {
            message: "The account is ready".into(),
            token: signed_in.token,
            user_id: signed_in.user_id,
        };
        Ok((StatusCode::CREATED, Json(answer)).into_response())
    })
    .await
}

/// `POST /api/login`
pub async fn login(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    throttled(&app, caller, "login", async {
        let request: v1::LoginRequest = read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
        let (Some(email), Some(password), Some(device_uuid)) =
            (request.email, request.password, request.device_uuid)
        else {
            return Err(Error::bad_request("e-mail, password and device_uuid are required"));
        };
        let name = request.device_name.unwrap_or_else(|| "unnamed device".into());
        let signed_in = accounts::sign_in(&app, &email, &password, &device_uuid, &name).await?;
        Ok(Json(v1::LoginAnswer { token: signed_in.token, user_id: signed_in.user_id })
            .into_response())
    })
    .await
}

/// `POST /api/reset-password-device`
pub async fn reset_password(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    throttled(&app, caller, "reset", async {
        let request: v1::ResetRequest = read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
        let (Some(email), Some(hardware_id), Some(password)) =
            (request.email, request.hardware_device_id, request.new_password)
        else {
            return Err(Error::bad_request("email, hardware_device_id and newPassword are required"));
        };
        accounts::reset_password_by_device(&app, &email, &hardware_id, &password).await?;
        let message = "The password was changed. Encrypted cloud backups made with the old password still need it".into();
        Ok(Json(v1::Message { message }).into_response())
    })
    .await
}

/// Counts the call, refuses it before its body is read if there were too many, and tells the client in the headers
/// old clients know.
async fn throttled(
    app: &App,
    caller: Caller,
    route: &'static str,
    work: impl Future<Output = Result<Response>>,
) -> Response {
    let allowance = accounts::count_attempt(app, caller, route);
    let mut response = if allowance.allowed {
        work.await.unwrap_or_else(IntoResponse::into_response)
    } else {
        let wait_ms = (allowance.reset_at_ms - app.clock.now_ms()).max(0);
        Error::new(ErrorCode::TooManyRequests, "too many attempts, please wait a few minutes")
            .retry_after(u64::try_from(wait_ms / 1000 + 1).unwrap_or(1))
            .into_response()
    };
    add_limits(response.headers_mut(), allowance);
    response
}

fn add_limits(headers: &mut HeaderMap, allowance: Allowance) {
    let mut add = |name: &'static str, value: i64| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    };
    add("x-ratelimit-limit", i64::from(allowance.limit));
    add("x-ratelimit-remaining", i64::from(allowance.remaining));
    // Seconds, rounded up: a client that waits until then is let in.
    add("x-ratelimit-reset", (allowance.reset_at_ms + 999) / 1000);
}

/// `DELETE /api/account`
pub async fn delete_account(
    State(app): State<App>,
    device: Device,
) -> Result<Json<v1::AccountDeleted>> {
    accounts::delete_own(&app, device.account).await?;
    let days = app.config.trash_days;
    let message =
        format!("The account was deleted; its owner's server keeps the files for {days} more days");
    Ok(Json(v1::AccountDeleted { success: true, message }))
}

/// `GET /api/subscription/status`
pub async fn subscription(
    State(app): State<App>,
    device: Device,
) -> Result<Json<v1::Subscription>> {
    Ok(Json(plans::subscription(&app, device.account).await?))
}

/// `POST /api/revenuecat/webhook`: exists only with a secret; otherwise anybody could give anybody a plan.
pub async fn webhook(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<v1::Ok>> {
    let Some(secret) =
        app.config.plans.webhook_secret.as_deref().filter(|_| app.config.plans.enabled)
    else {
        return Err(Error::not_found("there is no such route"));
    };
    let presented =
        headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    if !same_secret(presented, format!("Bearer {secret}").as_bytes()) {
        return Err(Error::new(ErrorCode::Unauthorised, "the webhook's secret is wrong"));
    }
    let body: Value = read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
    let event = read_event(&body).ok_or_else(|| Error::bad_request("app_user_id is missing"))?;
    if !plans::apply(&app, event).await? {
        return Err(Error::not_found(
            "nobody here is known to the subscription service by this id",
        ));
    }
    Ok(Json(v1::Ok { ok: true }))
}

/// Compares hashes of both, so that the time says nothing about how much of the secret was right.
fn same_secret(presented: &[u8], secret: &[u8]) -> bool {
    use sha2::{Digest, Sha256};
    Sha256::digest(presented) == Sha256::digest(secret)
}

/// Keys at top level in either spelling, or, as the real service sends them, under `event`.
fn read_event(body: &Value) -> Option<PlanEvent> {
    let source = body.get("event").filter(|event| event.is_object()).unwrap_or(body);
    let get = |snake: &str, camel: &str| source.get(snake).or_else(|| source.get(camel));
    let text = |snake, camel| get(snake, camel).and_then(Value::as_str).map(str::to_owned);
    let number = |snake, camel| get(snake, camel).and_then(Value::as_i64);
    let first_entitlement =
        source.get("entitlement_ids").and_then(|ids| ids.get(0)).and_then(Value::as_str);
    Some(PlanEvent {
        customer_id: text("app_user_id", "appUserId").filter(|id| !id.is_empty())?,
        expires_at_ms: number("expiration_at_ms", "expirationAtMs"),
        product_id: text("product_id", "productId"),
        entitlement_id: text("entitlement_id", "entitlementId")
            .or(first_entitlement.map(str::to_owned)),
        plan_gb: number("plan_gb", "planGb")
            .or_else(|| number("tier_gb", "tierGb"))
            .filter(|gb| *gb > 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_flat_and_nested() {
        let flat = serde_json::json!({"appUserId": "d", "expirationAtMs": 5, "tierGb": 100});
        let event = read_event(&flat).unwrap();
        assert_eq!(
            (event.customer_id.as_str(), event.expires_at_ms, event.plan_gb),
            ("d", Some(5), Some(100))
        );
        let nested = serde_json::json!({"api_version": "1.0", "event": {"app_user_id": "e", "product_id": "x"}});
        assert_eq!(read_event(&nested).unwrap().customer_id, "e");
        assert!(read_event(&serde_json::json!({})).is_none());
        assert!(read_event(&serde_json::json!({"app_user_id": 5})).is_none());
    }
}
