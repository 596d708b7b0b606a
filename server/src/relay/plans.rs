//! Plans of the old clients: who may upload to the relay, and how much.
//!
//! Enforced only where the operator asked for it. Otherwise every account is `active`, with the free space of the
//! disk: old desktop clients refuse to start when less remains than 1.1 × their selection.

use photosync_protocol::error::ErrorCode;
use photosync_protocol::v1::{Subscription, Usage};
use uuid::Uuid;

use super::queries::{self, Plan};
use crate::boot::App;
use crate::clock::DAY_MS;
use crate::config::Plans;
use crate::db::Tx;
use crate::error::{Error, Result};

/// Bytes in the GB of a plan.
const GB: i64 = 1_000_000_000;

/// Gives a new account its plan row.
pub async fn begin(app: &App, account: Uuid, plan_gb: Option<i64>) -> Result<()> {
    if !app.config.plans.enabled {
        return Ok(());
    }
    let now_ms = app.clock.now_ms();
    let trial_days = app.config.plans.trial_days;
    let trial = plan_gb.is_some() && trial_days > 0;
    let plan = Plan {
        plan_gb,
        status: if trial { "trial" } else { "none" }.into(),
        trial_until_ms: trial.then_some(now_ms + trial_days * DAY_MS),
        ..Plan::default()
    };
    Ok(app.db.write(move |tx| queries::set_plan(tx, account, &plan, now_ms)).await?)
}

/// What a plan means at `now_ms`. Pure.
pub fn state_of(plan: &Plan, now_ms: i64, grace_days: i64) -> Subscription {
    let answer = |status: &str, allowed: bool| Subscription {
        allowed,
        status: status.to_owned(),
        expires_at: plan.expires_at_ms,
        grace_until: plan.grace_until_ms,
        plan_gb: plan.plan_gb,
        trial_until: None,
        deleted_at: None,
    };
    if plan.deleted_at_ms.is_some_and(|at| at > 0) {
        return Subscription { deleted_at: plan.deleted_at_ms, ..answer("deleted", false) };
    }
    if plan.trial_until_ms.is_some_and(|until| until > now_ms) {
        return Subscription { trial_until: plan.trial_until_ms, ..answer("trial", true) };
    }
    if matches!(plan.status.as_str(), "trial" | "trial_expired") {
        return Subscription { trial_until: plan.trial_until_ms, ..answer("trial_expired", false) };
    }
    if let Some(expires_at) = plan.expires_at_ms.filter(|at| *at <= now_ms) {
        let until = plan.grace_until_ms.unwrap_or(expires_at + grace_days * DAY_MS);
        let (status, allowed) =
            if until > now_ms { ("grace", true) } else { ("grace_expired", false) };
        return Subscription { grace_until: Some(until), ..answer(status, allowed) };
    }
    match plan.status.as_str() {
        "active" => answer("active", true),
        status => {
            let status = if status.is_empty() { "none" } else { status };
            Subscription { trial_until: plan.trial_until_ms, ..answer(status, false) }
        }
    }
}

/// The subscription of an account.
pub async fn subscription(app: &App, account: Uuid) -> Result<Subscription> {
    if !app.config.plans.enabled {
        let (used, _) = app.db.read(move |tx| queries::find_usage(tx, account)).await?;
        return Ok(unlimited(used, free_bytes(app).await));
    }
    let plan = app.db.read(move |tx| queries::find_plan(tx, account)).await?.unwrap_or_default();
    Ok(state_of(&plan, app.clock.now_ms(), app.config.plans.grace_days))
}

fn unlimited(used_bytes: i64, free_bytes: i64) -> Subscription {
    Subscription {
        allowed: true,
        status: "active".into(),
        expires_at: None,
        grace_until: None,
        plan_gb: Some(((used_bytes + free_bytes) / GB).max(1)),
        trial_until: None,
        deleted_at: None,
    }
}

async fn free_bytes(app: &App) -> i64 {
    let chunks = &app.relay_chunks;
    let free = chunks.free_bytes().await.unwrap_or(0).saturating_sub(chunks.reserve_bytes());
    i64::try_from(free).unwrap_or(i64::MAX)
}

/// How much of its plan an account uses.
pub async fn usage(app: &App, account: Uuid) -> Result<Usage> {
    let (used_bytes, _) = app.db.read(move |tx| queries::find_usage(tx, account)).await?;
    let free = free_bytes(app).await;
    let subscription = subscription(app, account).await?;
    let margin_bytes = app.config.plans.margin_bytes;
    let (quota_bytes, remaining_bytes) = if !app.config.plans.enabled {
        (used_bytes.saturating_add(free), free)
    } else {
        let plan_bytes = subscription.plan_gb.unwrap_or(0).saturating_mul(GB);
        let quota = if plan_bytes > 0 { plan_bytes + margin_bytes } else { 0 };
        (quota, (plan_bytes - used_bytes).max(0))
    };
    Ok(Usage {
        plan_gb: subscription.plan_gb,
        quota_bytes,
        used_bytes,
        remaining_bytes,
        margin_bytes,
        subscription,
        server_free_bytes: Some(free),
    })
}

/// Whether an account may read: everybody but those whose data was deleted.
pub async fn require_readable(app: &App, account: Uuid) -> Result<()> {
    if !app.config.plans.enabled {
        return Ok(());
    }
    deleted(&subscription(app, account).await?)
}

fn deleted(subscription: &Subscription) -> Result<()> {
    match subscription.deleted_at {
        Some(at) => Err(Error::new(ErrorCode::SubscriptionDeleted, "this plan's data was deleted")
            .with("deletedAt", at)),
        None => Ok(()),
    }
}

/// Whether an account may upload `incoming_bytes` more, as it looks before they are received.
pub async fn require_uploadable(app: &App, account: Uuid, incoming_bytes: i64) -> Result<()> {
    if !app.config.plans.enabled {
        return Ok(());
    }
    let gate = Gate::now(app);
    app.db.read(move |tx| gate.require(tx, account, incoming_bytes)).await
}

/// What decides about uploads inside a transaction: there it holds for everybody else's uploads too, and a crash
/// leaves no reservation behind.
#[derive(Debug, Clone)]
pub struct Gate {
    plans: Plans,
    now_ms: i64,
}

impl Gate {
    /// One for a transaction that follows.
    pub fn now(app: &App) -> Self {
        Self { plans: app.config.plans.clone(), now_ms: app.clock.now_ms() }
    }

    /// Whether an account may have `incoming_bytes` more than it has.
    pub fn require(&self, tx: &mut dyn Tx, account: Uuid, incoming_bytes: i64) -> Result<()> {
        if !self.plans.enabled {
            return Ok(());
        }
        let plan = queries::find_plan(tx, account)?.unwrap_or_default();
        let subscription = state_of(&plan, self.now_ms, self.plans.grace_days);
        require_active(&subscription, self.now_ms)?;
        let Some(plan_gb) = subscription.plan_gb else { return Ok(()) };
        let (used_bytes, _) = queries::find_usage(tx, account)?;
        let plan_bytes = plan_gb.saturating_mul(GB);
        if used_bytes.saturating_add(incoming_bytes) <= plan_bytes {
            return Ok(());
        }
        let quota_bytes = plan_bytes.saturating_add(self.plans.margin_bytes);
        Err(Error::new(ErrorCode::QuotaExceeded, "the plan is full; nothing was stored")
            .with("usedBytes", used_bytes)
            .with("quotaBytes", quota_bytes)
            .with("remainingBytes", (quota_bytes - used_bytes).max(0)))
    }
}

/// Whether uploading is part of a subscription. Pure.
fn require_active(subscription: &Subscription, now_ms: i64) -> Result<()> {
    deleted(subscription)?;
    match subscription.status.as_str() {
        "active" | "trial" => Ok(()),
        "grace" | "grace_expired" => {
            let left = subscription.grace_until.map_or(0, |until| (until - now_ms).max(0));
            let message = "the plan has expired: reading still works";
            Err(Error::new(ErrorCode::SubscriptionExpired, message)
                .with("expiresAt", subscription.expires_at)
                .with("graceUntil", subscription.grace_until)
                .with("deleteInDays", (left + DAY_MS - 1) / DAY_MS))
        }
        "trial_expired" => {
            let message = "the trial is over: reading still works";
            Err(Error::new(ErrorCode::TrialExpired, message)
                .with("trialUntil", subscription.trial_until))
        }
        _ => Err(Error::new(ErrorCode::SubscriptionRequired, "uploading needs a plan")),
    }
}

/// What the subscription service says of one customer.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the keys of the webhook's body")]
pub struct PlanEvent {
    pub customer_id: String,
    pub expires_at_ms: Option<i64>,
    pub product_id: Option<String>,
    pub entitlement_id: Option<String>,
    pub plan_gb: Option<i64>,
}

/// Applies an event of the subscription service; false if it concerns nobody here.
pub async fn apply(app: &App, event: PlanEvent) -> Result<bool> {
    let (now_ms, grace_ms) = (app.clock.now_ms(), app.config.plans.grace_days * DAY_MS);
    let customer = app.aliases.of(&event.customer_id);
    app.db
        .write(move |tx| -> Result<bool> {
            let Some(account) = queries::find_by_customer(tx, &customer)? else {
                return Ok(false);
            };
            let mut plan = queries::find_plan(tx, account)?.unwrap_or_default();
            plan.plan_gb = event
                .plan_gb
                .or(event.product_id.as_deref().and_then(gb_of_product))
                .or(plan.plan_gb);
            plan.product_id = event.product_id.clone().or(plan.product_id);
            plan.entitlement_id = event.entitlement_id.clone().or(plan.entitlement_id);
            match event.expires_at_ms {
                Some(expires_at) if expires_at > now_ms => {
                    plan.status = "active".into();
                    plan.expires_at_ms = Some(expires_at);
                    plan.grace_until_ms = None;
                    plan.deleted_at_ms = None;
                }
                expired => {
                    plan.status = "grace".into();
                    plan.expires_at_ms = expired.or(plan.expires_at_ms).or(Some(now_ms));
                    plan.grace_until_ms =
                        plan.grace_until_ms.or(Some(expired.unwrap_or(now_ms) + grace_ms));
                }
            }
            queries::set_plan(tx, account, &plan, now_ms)?;
            Ok(true)
        })
        .await
}

/// `stealthcloud_200gb_monthly`, `com.example.stealthcloud.1tb.monthly` → GB.
fn gb_of_product(product_id: &str) -> Option<i64> {
    product_id.to_ascii_lowercase().split(['.', '_']).find_map(|part| {
        let (number, unit) = part.split_at(part.find(|c: char| !c.is_ascii_digit())?);
        let number: i64 = number.parse().ok()?;
        match unit {
            "gb" => Some(number),
            "tb" => Some(number * 1000),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(plan: Plan) -> (String, bool) {
        let state = state_of(&plan, 1000, 3);
        (state.status, state.allowed)
    }

    #[test]
    fn plan_states_follow_the_order_of_the_old_server() {
        let plan = |status: &str| Plan { status: status.into(), ..Plan::default() };
        assert_eq!(
            status(Plan { deleted_at_ms: Some(1), ..plan("active") }),
            ("deleted".into(), false)
        );
        assert_eq!(
            status(Plan { trial_until_ms: Some(2000), ..plan("trial") }),
            ("trial".into(), true)
        );
        assert_eq!(
            status(Plan { trial_until_ms: Some(900), ..plan("trial") }),
            ("trial_expired".into(), false)
        );
        assert_eq!(
            status(Plan { expires_at_ms: Some(900), ..plan("active") }),
            ("grace".into(), true)
        );
        let over = Plan { expires_at_ms: Some(900), grace_until_ms: Some(950), ..plan("active") };
        assert_eq!(status(over), ("grace_expired".into(), false));
        assert_eq!(
            status(Plan { expires_at_ms: Some(2000), ..plan("active") }),
            ("active".into(), true)
        );
        assert_eq!(status(plan("none")), ("none".into(), false));
        assert_eq!(status(plan("")), ("none".into(), false));
    }

    #[test]
    fn product_ids_name_their_size() {
        assert_eq!(gb_of_product("stealthcloud_200gb_monthly"), Some(200));
        assert_eq!(gb_of_product("com.example.stealthcloud.1tb.monthly"), Some(1000));
        assert_eq!(gb_of_product("something.else"), None);
    }
}
