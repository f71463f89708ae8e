//! Parts of the documentation that tests print.

/// Checks that the file has this text between the comment `mark` and the next `<!-- end -->`. With `PGRECAST_BLESS`
/// set, writes it there.
pub fn expect_printed(file: &str, mark: &str, text: &str) {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let whole = std::fs::read_to_string(&path).unwrap();
    let mark = format!("<!-- {mark} -->\n");
    let start = whole.find(&mark).expect("the mark is there") + mark.len();
    let stop = start + whole[start..].find("<!-- end -->").expect("the end is there");
    if std::env::var_os("PGRECAST_BLESS").is_some() {
        std::fs::write(path, format!("{}{text}{}", &whole[..start], &whole[stop..])).unwrap();
    } else {
        assert_eq!(
            &whole[start..stop],
            text,
            "{file} is not what the code says: set PGRECAST_BLESS=1 to print it"
        );
    }
}
