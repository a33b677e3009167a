//! The code blocks of a page.

use super::root;

/// One fenced block.
pub struct Block {
    /// The first word behind the fence.
    pub language: String,
    /// The second one: which file it is a part of.
    pub place: String,
    pub text: String,
}

/// All of them, in order.
pub fn page() -> Vec<Block> {
    let text = std::fs::read_to_string(root().join("docs/custom-runtimes.md")).expect("the page exists");
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let (language, place) = info.split_once(' ').unwrap_or((info, ""));
        let inside: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        let known = ["rust", "toml", "yaml", "sh", "text"].contains(&language);
        assert!(known, "nothing tests blocks of {language:?}");
        assert!(["sh", "text"].contains(&language) || !place.is_empty(), "a block of {language} has no file");
        blocks.push(Block { language: language.into(), place: place.into(), text: inside.join("\n") });
    }
    blocks
}

/// The files that blocks are parts of.
pub fn files(blocks: &[Block]) -> Vec<String> {
    let mut files: Vec<_> = blocks.iter().map(|block| block.place.clone()).collect();
    files.sort();
    files.dedup();
    files
}

/// What the blocks of a file say together.
pub fn content(blocks: &[Block], file: &str) -> String {
    let parts = blocks.iter().filter(|block| block.place == file);
    parts.map(|block| format!("{}\n", block.text)).collect()
}
