//! For everybody: keyboards, screen readers, light and dark, small screens.

use crate::browser::Browser;
use crate::fake::{SPECIALIST, TEACHER};
use crate::{FINAL, LADDER, ask, assert_quiet, at_console, to_the_end, until_withdrawn};

/// What has the focus: its id, or its text.
const FOCUSED: &str =
    "(() => { const it = document.activeElement; return it.id || it.innerText.split('\\n')[0]; })()";

#[tokio::test]
async fn the_keyboard_alone_is_enough() {
    let Some((browser, mut fake)) = at_console().await else { return };
    assert_eq!(browser.text(FOCUSED).await, "prompt", "one may begin to type at once");
    // From the top of the page, where a reload with focus elsewhere begins.
    browser
        .eval("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
        .await;
    browser.press("Tab").await;
    assert_eq!(browser.text(FOCUSED).await, "Skip to the prompt");
    browser.press("Enter").await;
    assert_eq!(browser.text(FOCUSED).await, "prompt");

    browser.type_text("What is the capital of Portugal?").await;
    browser.press("Shift+Enter").await;
    browser.type_text("And the river?").await;
    browser.press("Enter").await;
    let asked = fake.asked().await;
    assert_eq!(asked.body["messages"][0]["content"], "What is the capital of Portugal?\nAnd the river?");
    assert_eq!(browser.text(FOCUSED).await, "prompt");
    let answering = asked.stream("cascade", LADDER).await;
    until_withdrawn(&answering).await;
    to_the_end(answering).await;
    browser.until("document.querySelector('.account')").await;

    // Backwards from the prompt: the account, the copy button, what was withdrawn.
    let mut back = Vec::new();
    for _ in 0..3 {
        browser.press("Shift+Tab").await;
        back.push(browser.text(FOCUSED).await);
    }
    assert!(back[0].starts_with("How it came about"), "{back:?}");
    assert_eq!(back[1..], ["Copy", "9 words by qwen2.5-coder-0.5b withdrawn"]);
    browser.until("document.querySelector('.fold').ariaExpanded === 'false'").await;
    browser.press("Enter").await;
    browser.until("document.querySelector('.fold').ariaExpanded === 'true'").await;

    // Everything that can be reached is reached, in order, and seen where it is.
    browser.eval("document.activeElement.blur(); document.querySelector('.skip').focus()").await;
    let mut reached = vec![browser.text(FOCUSED).await];
    loop {
        browser.press("Tab").await;
        let focused = browser.text(FOCUSED).await;
        let outlined = "(() => { const it = document.activeElement; const at = it.closest('.composer') ?? it;
            const style = getComputedStyle(at); return style.outlineStyle !== 'none' || style.boxShadow !== 'none'; })()";
        if focused.is_empty() || reached.contains(&focused) || reached.len() > 40 {
            break;
        }
        assert_eq!(browser.eval(outlined).await, true, "{focused} shows its focus");
        reached.push(focused);
    }
    let expected = [
        "Skip to the prompt",
        "show-authors",
        "theme",
        "new-chat",
        "scroll",
        "9 words by qwen2.5-coder-0.5b withdrawn",
        "Copy",
        "How it came about · 2 steps",
        "prompt",
        "send",
        "model",
        "parameters",
        "system",
        "temperature",
        "max-tokens",
        "constraint",
        "key",
    ];
    assert_eq!(reached[..expected.len()], expected[..], "{reached:?}");
    assert_quiet(&browser, &fake);
}

#[tokio::test]
async fn screen_readers_find_names_and_hear_sentences() {
    let Some((browser, mut fake)) = at_console().await else { return };
    browser.choose("#constraint", "choice").await;
    // Every line that is ever announced, as a screen reader gets them.
    browser
        .eval(
            "window.heard = []; new MutationObserver((changes) => changes.forEach((change) =>
                change.addedNodes.forEach((node) => heard.push(node.textContent))))
                .observe(document.getElementById('announcer'), {childList: true}); null",
        )
        .await;
    let answering = ask(&browser, &mut fake, "Which river?").await.stream("cascade", LADDER).await;
    until_withdrawn(&answering).await;
    to_the_end(answering).await;
    browser.until("heard.join(' ').includes('Answer complete')").await;
    let heard = browser.text("heard.join('\\n')").await;
    assert!(heard.contains("Lisbon is the capital of Portugal."), "{heard}");
    assert!(heard.contains("takes over") && heard.contains("9 words withdrawn."), "{heard}");
    assert!(!heard.contains("Douro"), "what was withdrawn is not read aloud: {heard}");
    assert_eq!(heard.matches("Tagus").count(), 1, "{heard}");
    assert!(heard.find("Tagus") < heard.find("Answer complete"), "{heard}");
    let announcements = browser.eval("heard.length").await;
    assert!(announcements.as_u64().expect("a number") <= 4, "not each token: {heard}");

    browser.click(".account summary").await;
    let nodes = browser.accessible().await;
    let has = |role: &str, name: &str| nodes.iter().any(|(r, n)| r == role && n == name);
    for (role, name) in [
        ("main", "Conversation"),
        ("banner", ""),
        ("complementary", "Settings"),
        ("complementary", "Node"),
        ("form", "Prompt"),
        ("heading", "Understudy"),
        ("textbox", "Prompt"),
        ("textbox", "Choice"),
        ("textbox", "System prompt"),
        ("spinbutton", "Temperature"),
        ("spinbutton", "Most tokens"),
        ("combobox", "Who answers"),
        ("combobox", "Constraint"),
        ("button", "Send"),
        ("button", "New chat"),
        ("log", "Progress of the answer"),
        ("article", ""),
        ("list", "Authors"),
        ("region", "Answers"),
    ] {
        assert!(has(role, name), "{role} {name:?} in {nodes:#?}");
    }
    let picture =
        nodes.iter().find(|(role, name)| role == "image" && name.starts_with("Timeline of the request"));
    let (_, said) = picture.expect("a timeline with words");
    assert!(said.contains(&format!("{TEACHER}: 1.9 s, 17 tokens kept")), "{said}");
    let controls = ["button", "textbox", "combobox", "spinbutton", "link", "meter", "progressbar", "image"];
    let nameless: Vec<_> =
        nodes.iter().filter(|(role, name)| controls.contains(&role.as_str()) && name.is_empty()).collect();
    assert!(nameless.is_empty(), "{nameless:?}");
    assert_eq!(browser.eval("document.querySelector('.answer').ariaBusy").await, "false");
    assert_quiet(&browser, &fake);
}

/// Texts whose contrast to what is behind them is below WCAG AA, with their ratio.
const TOO_PALE: &str = r#"(() => {
    const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = (colour) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data]; };
    const over = (top, ground) => top.slice(0, 3).map((c, i) => c * top[3] / 255 + ground[i] * (1 - top[3] / 255));
    const ground = (it) => it ? over(rgba(getComputedStyle(it).backgroundColor), ground(it.parentElement)) : [255, 255, 255];
    const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255;
        return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const pale = [];
    let looked = 0;
    for (const it of document.querySelectorAll('body *')) {
        const own = [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !it.checkVisibility() || it.closest('.sr-only, .skip, option')) continue;
        looked += 1;
        const style = getComputedStyle(it);
        const back = ground(it);
        const ink = over(rgba(it.closest('svg') ? style.fill : style.color), back);
        const [a, b] = [light(ink), light(back)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        const large = parseFloat(style.fontSize) >= 24;
        if (ratio < (large ? 3 : 4.5)) pale.push(`${ratio.toFixed(2)} ${it.className} ${it.textContent.slice(0, 30)}`);
    }
    return looked < 40 ? [`only ${looked} texts`] : pale;
})()"#;

async fn theme(browser: &Browser) -> String {
    browser.text("document.documentElement.dataset.theme").await
}

#[tokio::test]
async fn light_and_dark_can_be_read() {
    let Some((browser, mut fake)) = at_console().await else { return };
    let answering = ask(&browser, &mut fake, "Which river?").await.stream("cascade", LADDER).await;
    until_withdrawn(&answering).await;
    to_the_end(answering).await;
    browser.until("document.querySelector('.account')").await;
    browser.click(".account summary").await;
    browser.until("document.querySelector('.fold').ariaExpanded === 'false'").await;
    browser.click(".fold").await;
    assert_eq!(theme(&browser).await, "light");
    assert_eq!(browser.eval(TOO_PALE).await, serde_json::json!([]));

    browser.prefers(&[("prefers-color-scheme", "dark")]).await;
    browser.until("document.documentElement.dataset.theme === 'dark'").await;
    assert_eq!(browser.eval(TOO_PALE).await, serde_json::json!([]));
    browser.screenshot("dark").await;

    // A choice of one's own holds, over the system's and over a reload.
    browser.click("#theme").await;
    assert_eq!(theme(&browser).await, "light");
    browser.open(&fake.address).await;
    assert_eq!(theme(&browser).await, "light");
    browser.click("#theme").await;
    browser.screenshot("dark-welcome").await;

    browser.prefers(&[("prefers-reduced-motion", "reduce")]).await;
    let answering = ask(&browser, &mut fake, "Which river?").await.stream("direct", &[SPECIALIST]).await;
    browser.until("document.querySelector('[aria-busy=true] .progress')").await;
    let moving = "getComputedStyle(document.querySelector('.progress'), '::before').animationName";
    assert_eq!(browser.text(moving).await, "none");
    drop(answering);
    browser.until("document.querySelector('.error')").await;
    assert_eq!(browser.eval("document.getAnimations().length").await, 0);
    assert_quiet(&browser, &fake);
}

#[tokio::test]
async fn a_narrow_screen_has_all_of_it() {
    let Some((browser, mut fake)) = at_console().await else { return };
    for width in [360, 900] {
        browser.screen(width, 780).await;
        browser.open(&fake.address).await;
        browser.until("document.querySelectorAll('#slots li').length === 2").await;
        browser.screenshot(&format!("{width}-welcome")).await;
        let answering =
            ask(&browser, &mut fake, "Which river does it lie on?").await.stream("cascade", LADDER).await;
        until_withdrawn(&answering).await;
        to_the_end(answering).await;
        browser.until("document.querySelector('.account')").await;
        browser.click(".account summary").await;
        assert!(browser.text("document.querySelector('.prose').innerText").await.ends_with(FINAL));
        browser.screenshot(&format!("{width}-answer")).await;
        for view in ["settings", "node", "chat"] {
            browser.click(&format!(".views [data-view={view}]")).await;
            let seen = format!("document.getElementById('{view}').checkVisibility()");
            browser.until(&seen).await;
            let wider =
                "document.documentElement.scrollWidth > innerWidth || document.body.scrollWidth > innerWidth";
            assert_eq!(browser.eval(wider).await, false, "{view} at {width}");
            let cut = "[...document.querySelectorAll('button, input, select, textarea')].filter((it) => it.checkVisibility())
                .filter((it) => { const {left, right} = it.getBoundingClientRect(); return left < 0 || right > innerWidth; })
                .map((it) => it.id || it.innerText)";
            assert_eq!(browser.eval(cut).await, serde_json::json!([]), "{view} at {width}");
            if view != "chat" {
                browser.screenshot(&format!("{width}-{view}")).await;
            }
        }
    }
    assert_quiet(&browser, &fake);
}
