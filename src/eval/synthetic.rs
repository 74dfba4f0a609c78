//! Made-up English prose without end, for haystacks that need no download.
//!
//! Sentences are drawn from a small grammar. They are grammatical, hold no digit and say nothing: a needle
//! stands out from them more than from real text, so that scores over them are not those of a haystack of
//! news or essays. Results name the haystack for that reason.

use super::draw::Draw;

/// Name of the generator, for results. Another text needs another name.
pub(super) const NAME: &str = "synthetic-prose-1";

const PEOPLE: [&str; 16] = [
    "the baker",
    "the carpenter",
    "the ferryman",
    "the gardener",
    "the innkeeper",
    "the lighthouse keeper",
    "the miller",
    "the night watchman",
    "the old teacher",
    "the postman",
    "the shepherd",
    "the surveyor",
    "the tailor",
    "the traveller",
    "the weaver",
    "the young clerk",
];
const THINGS: [&str; 24] = [
    "basket",
    "bridge",
    "candle",
    "cart",
    "chimney",
    "clock",
    "courtyard",
    "door",
    "fence",
    "garden",
    "kettle",
    "ladder",
    "lamp",
    "letter",
    "mirror",
    "orchard",
    "path",
    "rope",
    "staircase",
    "stove",
    "table",
    "wall",
    "well",
    "window",
];
const PLACES: [&str; 16] = [
    "behind the church",
    "beside the canal",
    "beyond the meadow",
    "by the harbour",
    "in the attic",
    "in the next village",
    "in the valley",
    "near the market",
    "on the hillside",
    "on the other bank",
    "outside the town gate",
    "over the stable",
    "past the crossroads",
    "under the arches",
    "under the lime trees",
    "upstream of the mill",
];
const QUALITIES: [&str; 20] = [
    "broken",
    "crooked",
    "damp",
    "dusty",
    "empty",
    "faded",
    "familiar",
    "heavy",
    "narrow",
    "neglected",
    "old",
    "ordinary",
    "painted",
    "plain",
    "quiet",
    "rusty",
    "sturdy",
    "uneven",
    "weathered",
    "wooden",
];
const DEEDS: [&str; 16] = [
    "admired",
    "borrowed",
    "carried away",
    "cleaned",
    "forgot",
    "leaned against",
    "looked for",
    "measured",
    "mended",
    "noticed",
    "painted",
    "passed",
    "repaired",
    "sketched",
    "talked about",
    "walked around",
];
const TIMES: [&str; 14] = [
    "After the rain",
    "All through the autumn",
    "As usual",
    "At dusk",
    "Before breakfast",
    "Early in the spring",
    "In those days",
    "Late in the evening",
    "Most mornings",
    "Now and then",
    "On market days",
    "One afternoon",
    "That winter",
    "Towards noon",
];
const REASONS: [&str; 12] = [
    "because nobody else had the time",
    "but nothing came of it",
    "for the light was already failing",
    "since the road was closed again",
    "though it hardly mattered",
    "and then thought better of it",
    "as people there have always done",
    "while the kettle came to the boil",
    "without saying a word about it",
    "until the bell rang",
    "just to be sure",
    "and nobody was surprised",
];

/// A document of 40 to 120 sentences, in paragraphs; the same for the same draw.
pub(super) fn document(draw: &mut Draw) -> String {
    let n_sentences = 40 + draw.below(81);
    let mut text = String::with_capacity(n_sentences * 80);
    for i in 0..n_sentences {
        if i > 0 {
            text.push_str(if draw.below(7) == 0 { "\n\n" } else { " " });
        }
        sentence(draw, &mut text);
    }
    text
}

fn sentence(draw: &mut Draw, out: &mut String) {
    let form = draw.below(5);
    let person = *draw.choice(&PEOPLE);
    let deed = *draw.choice(&DEEDS);
    let (quality, thing) = (*draw.choice(&QUALITIES), *draw.choice(&THINGS));
    let place = *draw.choice(&PLACES);
    let start = out.len();
    match form {
        0 => out.push_str(&format!("{person} {deed} the {quality} {thing} {place}")),
        1 => {
            let time = draw.choice(&TIMES);
            out.push_str(&format!("{time} {person} {deed} the {thing} {place}"));
        }
        2 => {
            let reason = draw.choice(&REASONS);
            out.push_str(&format!("{person} {deed} the {quality} {thing}, {reason}"));
        }
        3 => {
            let other = draw.choice(&THINGS);
            out.push_str(&format!("the {thing} {place} was as {quality} as the {other}"));
        }
        _ => {
            let (time, other) = (draw.choice(&TIMES), draw.choice(&QUALITIES));
            out.push_str(&format!("{time} the {quality} {thing} {place} looked {other}"));
        }
    }
    // Every word here begins with an ASCII letter.
    out[start..start + 1].make_ascii_uppercase();
    out.push('.');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_the_same_for_the_same_draw_and_holds_no_digit() {
        let text = |index| document(&mut Draw::new(7, "prose", index));
        assert_eq!(text(0), text(0));
        assert_ne!(text(0), text(1));
        assert!(!text(0).contains(|c: char| c.is_numeric()));
        assert!(text(0).split(". ").count() > 25);
        assert!(text(0).starts_with(char::is_uppercase) && text(0).ends_with('.'));
    }
}
