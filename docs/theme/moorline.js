// A flag is not broken behind its hyphens: each short word of code in a text stays on one line.
for (const code of document.querySelectorAll("main :not(pre) > code")) {
    const words = code.textContent.split(/( +)/).map((word) => {
        const span = document.createElement("span");
        span.textContent = word;
        if (word.trim() && word.length <= 24) span.className = "one-word";
        return span;
    });
    code.replaceChildren(...words);
}
