//! One gate for several users of one resource.

use std::convert::Infallible;

use http::{Request, StatusCode};
use loadline_tower::{Attempt, Class, Outcome, Reason, client::ClientLayer, server::LoadlineLayer};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::support::{assert_empty, data, limit, ok};

#[tokio::test]
async fn a_server_a_client_and_jobs_of_different_size_share_one_limit() {
    let gate = limit(3).no_queue().build();
    let answer = || service_fn(|_: Request<()>| async { Ok::<_, Infallible>(ok([data("1")])) });
    let server = LoadlineLayer::new(gate.clone()).layer(answer());
    let client = ClientLayer::new(gate.clone()).layer(answer());
    let job = |slots: u32| {
        gate.try_admit(loadline_tower::Request::new(Class::Normal).with_cost(slots.try_into().unwrap()))
    };

    let Attempt::Admitted(dear) = job(2) else { panic!("three slots are free") };
    let served = server.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!(served.status(), StatusCode::OK);
    let rejected = server.oneshot(Request::new(())).await.unwrap();
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    let kept_back = client.clone().oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(kept_back.rejection().unwrap().reason, Reason::Concurrency);
    assert!(matches!(job(1), Attempt::Shed(_)));

    dear.complete(Outcome::Completed);
    let called = client.oneshot(Request::new(())).await.unwrap();
    assert!(matches!(job(2), Attempt::Shed(_)), "one slot is free");
    drop((served, called));
    assert!(matches!(job(3), Attempt::Admitted(_)));
    assert_empty(&gate);
}
