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
    assert!(html.contains("&lt;5 ms") && html.contains("look &amp; see"));
}

#[test]
fn texts_are_escaped_in_the_drawing() {
    let svg = plot().svg();
    assert!(svg.contains("a &lt; b") && svg.contains("x&quot;y"));
    // The dashed line and its place in the legend.
    assert_eq!(svg.matches("stroke-dasharray").count(), 2);
}

#[test]
fn places_lie_within_the_axes() {
    let marks = |scale: Scale, values: &[f64]| -> Vec<String> {
        scale.range(values.iter().copied()).marks().into_iter().map(|(_, text)| text).collect()
    };
    assert_eq!(marks(Scale::Linear, &[0.0, 930.0]), ["0", "200", "400", "600", "800"]);
    assert_eq!(marks(Scale::Log, &[0.3, 45.0]), ["0.1", "1", "10", "100"]);
    assert_eq!(marks(Scale::Nines, &[0.0, 0.999]), ["0", "50", "90", "99", "99.9"]);
    let log = Scale::Log.range([1.0, 100.0]);
    assert_eq!((log.place(1.0), log.place(10.0), log.place(1_000.0)), (0.0, 0.5, 1.0));
    let nothing = Scale::Log.range([]);
    assert_eq!(nothing.place(0.0), 0.0);
    assert!(Scale::Linear.range([0.0]).place(0.0).is_finite());
}
