use super::*;

fn plot() -> Plot {
    let mut plot = Plot::new("a < b", Axis::new("seconds"), Axis::new("requests/s"));
    plot.area(Area {
        name: "served".into(),
        color: Color("#0a0"),
        band: vec![(0.0, 0.0, 50.0), (1.0, 0.0, 100.0)],
        step: 1.0,
    });
    plot.line(Line { name: "x\"y".into(), color: Color("#000"), points: vec![(0.0, 50.0)], dashed: true });
    plot
}

#[test]
fn a_page_asks_nobody_for_anything() {
    let mut page = Page::new("A run");
    page.table(&[vec!["".into(), "before".into()], vec!["p99".into(), "<5 ms".into()]]);
    page.warning("look & see");
    page.plot(&plot());
    let html = page.finish();
    for outside in ["http://", "https://", "src=", "href=", "url(", "<script", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("default-src 'none'"));
    assert!(html.contains("&lt;5&nbsp;ms") && html.contains("look &amp; see"));
}

#[test]
fn texts_are_escaped_in_the_drawing() {
    let svg = plot().svg();
    assert!(svg.contains("a &lt; b") && svg.contains("x&quot;y"));
    // The dashed line and its place in the legend.
    assert_eq!(svg.matches("stroke-dasharray").count(), 2);
}

#[test]
fn names_in_the_legend_do_not_run_into_each_other() {
    let mut plot = plot();
    for index in 0..6 {
        let name = format!("with a rather long name, number {index}");
        plot.line(Line { name, color: Color("#000"), points: Vec::new(), dashed: false });
    }
    let svg = plot.svg();
    let place = |text: &str| -> (f64, f64) {
        let before = svg.split(&format!("\">{text}</text>")).next().unwrap();
        let (x, y) = before.rsplit_once("x=\"").unwrap().1.split_once("\" y=\"").unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    };
    let names = (0..6).map(|index| format!("with a rather long name, number {index}"));
    let places: Vec<_> = ["served".to_owned(), "x&quot;y".to_owned()]
        .into_iter()
        .chain(names)
        .map(|name| place(&name))
        .collect();
    assert!(
        places.is_sorted_by(|one, next| next.1 > one.1 || next.1 == one.1 && next.0 - one.0 > 50.0),
        "{places:?}"
    );
    assert!(places.iter().all(|(x, _)| *x < 900.0) && places[7].1 > places[0].1, "{places:?}");
}

#[test]
fn places_lie_within_the_axes() {
    let marks = |scale: Scale, values: &[f64]| -> Vec<String> {
        scale.range(values.iter().copied()).marks().into_iter().map(|(_, text)| text).collect()
    };
    assert_eq!(marks(Scale::Linear, &[0.0, 930.0]), ["0", "200", "400", "600", "800"]);
    assert_eq!(marks(Scale::Log, &[0.3, 45.0]), ["0.1", "1", "10", "100"]);
    assert_eq!(marks(Scale::Log, &[12.0, 45.0]), ["10", "20", "50", "100"]);
    assert_eq!(marks(Scale::Nines, &[0.0, 0.999]), ["0", "50", "90", "99", "99.9"]);
    let log = Scale::Log.range([1.0, 100.0]);
    assert_eq!((log.place(1.0), log.place(10.0), log.place(1_000.0)), (0.0, 0.5, 1.0));
    let nothing = Scale::Log.range([]);
    assert_eq!(nothing.place(0.0), 0.0);
    assert!(Scale::Linear.range([0.0]).place(0.0).is_finite());
}
