use loadline_sim::*;
fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let set = std::env::args().nth(2).unwrap_or("exam".into());
    let policies: Option<Vec<String>> =
        std::env::args().nth(3).map(|p| p.split(',').map(str::to_owned).collect());
    let plans: Vec<Plan> = EMBEDDED
        .iter()
        .filter(|(p, _)| p.starts_with(&set) && p.contains(&filter))
        .map(|(p, t)| {
            let plan = Plan::new(Scenario::parse(t, &[]).unwrap_or_else(|e| panic!("{p}: {e}"))).unwrap();
            match &policies {
                Some(p) => plan.with_policies(p).unwrap(),
                None => plan,
            }
        })
        .collect();
    let t = std::time::Instant::now();
    let c = compare(&plans, &|_| {});
    if c.len() < 4 {
        for c in &c {
            println!("{}", report::table(c));
        }
    }
    println!("{}", report::exam(&c));
    println!("{:?} for {} runs", t.elapsed(), plans.iter().map(Plan::runs).sum::<usize>());
}
