//! HTTP to one server: the right key, a live token, and patience.
//!
//! [`Connection::call`] repeats a request whose body is at hand until it is answered or [`MAX_TRIES`] are used up;
//! [`Connection::attempt`] sends once, for bodies that are streams. Both stop at once when the run is interrupted.
//! A server that is not found where it was is looked for elsewhere (see [`crate::elsewhere`]), and from then on talked to
//! there.

mod failing;
mod renewing;

pub(crate) use failing::read_upload_limit;
pub use failing::{Failure, wrong_server};
use failing::{no_answer, refusal};

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use photosync_protocol::error::RetryClass;
use photosync_protocol::v2::PREFIX;
use reqwest::{
    Client, Method, Request, RequestBuilder, Response, ResponseBuilderExt, StatusCode, Url,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::address;
use crate::credentials::{Credentials, Trust};
use crate::elsewhere::{self, Wanted};
use crate::endpoints::Known;
use crate::error::{Error, Kind, Result, chain};
use crate::pause::Pauses;
use crate::profile::Profile;
use crate::report::{Event, Report};
use crate::trust::{KeyVerifier, tls_by_certificate, tls_by_key};

/// Tries of one request before the server counts as unreachable: with the pauses between them about a minute.
pub const MAX_TRIES: u32 = 8;
/// A request whose body and answer are small is over by then.
pub const SMALL_REQUEST: Duration = Duration::from_secs(60);
/// A server that has not taken a connection by then is not there; the operating system asks four times in 8 s.
const CONNECT: Duration = Duration::from_secs(8);
/// An access token with less life than this is renewed before it is used.
const RENEW_BEFORE_MS: i64 = 60_000;
/// A server that was not found anywhere is looked for again after this at the earliest: about as long as a search takes at
/// most by its own limits (4 s for asking, 2 s for listening).
/// Longer, and one connection that broke during a search would end a whole run.
const SEARCH_AGAIN: Duration = Duration::from_secs(5);

/// One server, and this device's session there.
pub struct Connection {
    route: RwLock<Arc<Route>>,
    session: Option<Signed>,
    stop: CancellationToken,
    report: Arc<dyn Report>,
}

/// Where the server is, and how it is talked to there.
struct Route {
    base: String,
    client: Client,
    verifier: Option<Arc<KeyVerifier>>,
}

struct Signed {
    profile: Profile,
    wanted: Wanted,
    credentials: Mutex<Credentials>,
    /// When the server was last looked for in vain; held while it is looked for.
    searched: Mutex<Option<Instant>>,
}

impl Connection {
    /// To a server on which nobody is signed in yet. With [`Trust::Key`] and no fingerprint any key is accepted, so
    /// that a person can be asked; send no secret then.
    pub fn anonymous(
        url: &str,
        trust: Trust,
        fingerprint: Option<String>,
        report: Arc<dyn Report>,
        stop: CancellationToken,
    ) -> Result<Self> {
        let route = RwLock::new(Arc::new(Route::to(url, trust, fingerprint)?));
        Ok(Self { route, session: None, stop, report })
    }

    /// To the server this profile is signed in on.
    pub fn signed_in(
        profile: &Profile,
        report: Arc<dyn Report>,
        stop: CancellationToken,
    ) -> Result<Self> {
        let credentials = Credentials::get(profile)?;
        let wanted = Wanted::of(&credentials);
        let preferred = Known::find(profile, &wanted.fingerprint).preferred;
        let url = preferred.unwrap_or_else(|| wanted.typed.clone());
        let pin = Some(wanted.fingerprint.clone());
        let mut connection = Self::anonymous(&url, wanted.trust_at(&url), pin, report, stop)?;
        connection.session = Some(Signed {
            profile: profile.clone(),
            wanted,
            credentials: Mutex::new(credentials),
            searched: Mutex::default(),
        });
        Ok(connection)
    }

    fn route(&self) -> Arc<Route> {
        self.route.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Base address at which the server is talked to now, without a slash at its end.
    pub fn base(&self) -> String {
        self.route().base.clone()
    }

    /// Ends when the run is interrupted.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Where events of this run go.
    pub fn report(&self) -> &Arc<dyn Report> {
        &self.report
    }

    /// Fingerprint of the key the server last showed.
    pub fn seen_key(&self) -> Option<String> {
        self.route().verifier.as_ref().and_then(|verifier| verifier.seen())
    }

    /// The credentials as they are now.
    pub async fn credentials(&self) -> Result<Credentials> {
        match &self.session {
            Some(signed) => Ok(signed.credentials.lock().await.clone()),
            None => Err(Error::new(Kind::SignIn, "nobody is signed in")),
        }
    }

    /// A request to a route below `/api/v2`, or to a `Location` the server named. Of a location only what follows
    /// `/api/v2` counts: a server behind a proxy may not know its own address, and a token never leaves this base.
    pub fn request(&self, method: Method, route: &str) -> RequestBuilder {
        let route = route.find(PREFIX).map_or(route, |at| &route[at + PREFIX.len()..]);
        let to = self.route();
        to.client.request(method, format!("{}{PREFIX}{route}", to.base))
    }

    /// The same server as it is reached now, with nobody signed in: for version 1, whose sessions are its own.
    pub fn without_session(&self) -> Self {
        let route = RwLock::new(self.route());
        Self { route, session: None, stop: self.stop.clone(), report: self.report.clone() }
    }

    /// A request to a route of version 1, below `/api`.
    pub fn request_old(&self, method: Method, route: &str) -> RequestBuilder {
        let to = self.route();
        to.client.request(method, format!("{}/api{route}", to.base))
    }

    /// Sends what `build` makes, again and again while that makes sense.
    pub async fn call(&self, build: impl Fn(&Self) -> RequestBuilder) -> Result<Response> {
        let mut pauses = Pauses::default();
        loop {
            let answer = self.attempt(build(self).timeout(SMALL_REQUEST)).await;
            match self.receive(answer).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.wait_or_fail(failure, &mut pauses).await?,
            }
        }
    }

    /// Waits for the body of an answer, so that one that breaks off half-way counts as none and is asked for again.
    async fn receive(
        &self,
        answer: std::result::Result<Response, Failure>,
    ) -> std::result::Result<Response, Failure> {
        let answer = answer?;
        let (status, url) = (answer.status(), answer.url().clone());
        let headers = answer.headers().clone();
        let body = self.unless_stopped(answer.bytes()).await.map_err(Failure::of)?;
        let body = body.map_err(|cause| Failure::broken(url.path(), &cause))?;
        let whole = http::Response::builder().status(status).url(url).body(body);
        let mut whole = whole.map(Response::from).map_err(|cause| {
            Failure::of(Error::unexpected(format!("could not keep an answer: {cause}")))
        })?;
        *whole.headers_mut() = headers;
        Ok(whole)
    }

    /// Waits before the next try, or says why there is none.
    pub async fn wait_or_fail(&self, failure: Failure, pauses: &mut Pauses) -> Result<()> {
        if failure.retry != RetryClass::AfterPause || pauses.tries() + 1 >= MAX_TRIES {
            return Err(failure.error);
        }
        let pause = pauses.next(failure.after);
        // Short pauses are nobody's business.
        if pauses.tries() > 2 {
            let wait_s = pause.as_secs_f64();
            self.report.event(&Event::Waiting { reason: failure.error.message, wait_s });
        }
        self.unless_stopped(tokio::time::sleep(pause)).await
    }

    /// Sends once. A token that ended is renewed and, if the request can be copied, used for a second try.
    pub async fn attempt(&self, request: RequestBuilder) -> std::result::Result<Response, Failure> {
        let copy = request.try_clone();
        let token = self.live_token().await.map_err(Failure::of)?;
        let first = self.send(request, token.as_deref()).await;
        let (Err(failure), Some(token)) = (&first, token) else { return first };
        if failure.status != Some(StatusCode::UNAUTHORIZED) {
            return first;
        }
        self.renew(&token).await.map_err(Failure::of)?;
        let Some(copy) = copy else {
            // The body is a stream: whoever made it makes it again.
            return first.map_err(|failure| Failure { retry: RetryClass::AfterPause, ..failure });
        };
        let token = self.live_token().await.map_err(Failure::of)?;
        self.send(copy, token.as_deref()).await
    }

    /// Runs `work` unless the run is interrupted first.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Error::interrupted()),
            done = work => Ok(done),
        }
    }

    async fn send(
        &self,
        request: RequestBuilder,
        token: Option<&str>,
    ) -> std::result::Result<Response, Failure> {
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let (client, request) = request.build_split();
        let request = request.map_err(|cause| {
            let text = format!("could not make a request: {}", chain(&cause));
            Failure::of(Error::unexpected(text))
        })?;
        let copy = request.try_clone();
        let route = self.route();
        let mut answer = self.unless_stopped(client.execute(request)).await.map_err(Failure::of)?;
        if let Err(cause) = &answer
            && cause.is_connect()
        {
            // Not one byte of the request was sent.
            let failure = no_answer(&route.base, route.verifier.as_deref(), cause);
            let is_found = self.look_elsewhere(&route).await.map_err(Failure::of)?;
            let route = self.route();
            match copy.and_then(|copy| route.retarget(copy)).filter(|_| is_found) {
                Some(copy) => {
                    let sending = route.client.execute(copy);
                    answer = self.unless_stopped(sending).await.map_err(Failure::of)?;
                }
                // The body is a stream: whoever made it makes it again.
                None if is_found => {
                    return Err(Failure { retry: RetryClass::AfterPause, ..failure });
                }
                None => return Err(failure),
            }
        }
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(answer),
            Ok(answer) => Err(refusal(&self.base(), answer).await),
            Err(cause) => {
                let route = self.route();
                Err(no_answer(&route.base, route.verifier.as_deref(), &cause))
            }
        }
    }

    /// Looks for the server at its other addresses and goes on there. Answers whether it is talked to elsewhere than at
    /// `lost` now. Of several tasks one looks; the others wait for it.
    async fn look_elsewhere(&self, lost: &Route) -> Result<bool> {
        let Some(signed) = &self.session else { return Ok(false) };
        let mut searched = signed.searched.lock().await;
        if self.route().base != lost.base {
            return Ok(true);
        }
        if searched.is_some_and(|at| at.elapsed() < SEARCH_AGAIN) {
            return Ok(false);
        }
        let search = elsewhere::find(&signed.profile, &signed.wanted, &lost.base);
        let Some(found) = self.unless_stopped(search).await? else {
            *searched = Some(Instant::now());
            return Ok(false);
        };
        let pin = Some(signed.wanted.fingerprint.clone());
        let route = Route::to(&found, signed.wanted.trust_at(&found), pin)?;
        *self.route.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(route);
        *searched = None;
        let mut known = Known::find(&signed.profile, &signed.wanted.fingerprint);
        known.preferred = Some(found.clone()).filter(|found| *found != signed.wanted.typed);
        // Forgotten, it is found again next time.
        let _ = known.store(&signed.profile);
        self.report.event(&Event::Note { text: format!("reached at {found}") });
        Ok(true)
    }
}

impl Route {
    fn to(url: &str, trust: Trust, fingerprint: Option<String>) -> Result<Self> {
        let parsed = address::read(url)?;
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_idle_timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("photosync/", env!("CARGO_PKG_VERSION")));
        if address::is_plainly_private(&parsed) {
            builder = builder.no_proxy();
        }
        let mut verifier = None;
        builder = match trust {
            Trust::Key => {
                let by_key = KeyVerifier::new(fingerprint);
                verifier = Some(by_key.clone());
                builder.tls_backend_preconfigured(tls_by_key(by_key)?)
            }
            // Plain HTTP needs no TLS, but a client cannot be made without one.
            Trust::Certificate | Trust::Nothing => {
                builder.tls_backend_preconfigured(tls_by_certificate()?)
            }
        };
        let client = builder.build().map_err(|cause| {
            Error::unexpected(format!("could not set HTTP up: {}", chain(&cause)))
        })?;
        let base = address::base_of(&parsed);
        Ok(Self { base, client, verifier })
    }

    /// The same request to this address. `None` if it was not one of the API.
    fn retarget(&self, mut request: Request) -> Option<Request> {
        let before = request.url().as_str();
        let route = before.find(PREFIX).and_then(|at| before.get(at..))?;
        *request.url_mut() = Url::parse(&format!("{}{route}", self.base)).ok()?;
        Some(request)
    }
}

/// Reads a JSON answer. Not one means that something else than a PhotoSync server answered.
pub async fn read_json<T: serde::de::DeserializeOwned>(answer: Response) -> Result<T> {
    let url = answer.url().path().to_owned();
    let bytes = answer.bytes().await.map_err(|cause| Failure::broken(&url, &cause).error)?;
    serde_json::from_slice(&bytes).map_err(|cause| {
        Error::unexpected(format!(
            "the answer to {url} is not what a PhotoSync server says: {cause}"
        ))
    })
}

/// Milliseconds since 1970 by this machine's clock.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
