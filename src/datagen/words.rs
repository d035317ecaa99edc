//! Dictionaries of names and words, taken from `fake` once at start.
//!
//! Only the lists are `fake`'s; which word is chosen is our own decision ([`super::random`]). A new release of `fake`
//! with other lists changes the data, so a test holds the digest of everything taken over.

use std::sync::LazyLock;

use fake::locales::{DE_DE, Data, EN, FR_FR, PT_BR};

/// The lists.
#[derive(Debug)]
pub struct Words {
    /// First names in ASCII letters, for addresses and titles.
    pub first: Vec<&'static str>,
    /// Last names in ASCII letters.
    pub last: Vec<&'static str>,
    /// First names of several languages.
    pub given: Vec<&'static str>,
    /// Last names of several languages.
    pub family: Vec<&'static str>,
    /// Lower-case words of running text.
    pub text: Vec<&'static str>,
    /// Adjectives.
    pub adjectives: Vec<&'static str>,
    /// Nouns, in the plural.
    pub nouns: Vec<&'static str>,
    /// Professions.
    pub professions: Vec<&'static str>,
    /// Mail providers.
    pub providers: Vec<&'static str>,
    /// Browsers, as they name themselves.
    pub agents: Vec<&'static str>,
    /// Countries, two letters.
    pub countries: Vec<&'static str>,
    /// What company names end with.
    pub companies: Vec<&'static str>,
}

/// The lists, built at the first use.
pub fn words() -> &'static Words {
    static WORDS: LazyLock<Words> = LazyLock::new(|| Words {
        first: ascii(EN::NAME_FIRST_NAME),
        last: ascii(EN::NAME_LAST_NAME),
        given: plain(&[
            EN::NAME_FIRST_NAME,
            FR_FR::NAME_FIRST_NAME,
            DE_DE::NAME_FIRST_NAME,
            PT_BR::NAME_FIRST_NAME,
        ]),
        family: plain(&[
            EN::NAME_LAST_NAME,
            FR_FR::NAME_LAST_NAME,
            DE_DE::NAME_LAST_NAME,
            PT_BR::NAME_LAST_NAME,
        ]),
        text: plain(&[EN::LOREM_WORD]),
        adjectives: plain(&[EN::COMPANY_BS_ADJ, EN::COMPANY_BUZZWORD_HEAD]),
        nouns: plain(&[EN::COMPANY_BS_NOUNS]),
        professions: plain(&[EN::COMPANY_PROFESSION]),
        providers: plain(&[EN::INTERNET_FREE_EMAIL_PROVIDER]),
        agents: plain(&[EN::INTERNET_USER_AGENT]),
        countries: plain(&[EN::ADDRESS_COUNTRY_CODE]),
        companies: plain(&[EN::COMPANY_SUFFIX]),
    });
    &WORDS
}

/// The words of `lists` that stand in JSON as they are.
fn plain(lists: &[&[&'static str]]) -> Vec<&'static str> {
    let clean = |word: &&&'static str| {
        !word.is_empty() && !word.contains(['"', '\\']) && !word.contains(char::is_control)
    };
    lists.iter().flat_map(|list| list.iter()).filter(clean).copied().collect()
}

/// The words of `list` made of ASCII letters only.
fn ascii(list: &[&'static str]) -> Vec<&'static str> {
    list.iter().filter(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic())).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_those_the_data_were_made_with() {
        let w = words();
        let lists = [
            &w.first,
            &w.last,
            &w.given,
            &w.family,
            &w.text,
            &w.adjectives,
            &w.nouns,
            &w.professions,
            &w.providers,
            &w.agents,
            &w.countries,
            &w.companies,
        ];
        let mut hasher = blake3::Hasher::new();
        for list in lists {
            assert!(!list.is_empty());
            for word in list {
                hasher.update(word.as_bytes()).update(b"\n");
            }
            hasher.update(b"\0");
        }
        // When this fails, fake's lists changed: raise DATA_VERSION and take over the new digest and golden checksums.
        insta::assert_snapshot!(hasher.finalize().to_hex(), @"0cf07fb8ce1b758e644ef0412785510b14307c97feae6a6040f0aef33b5f7dcd");
    }
}
