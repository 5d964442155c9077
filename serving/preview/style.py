"""How the page looks: on a phone and a wide screen, by day and by night."""

STYLE = """
:root { color-scheme: light dark; --back: #fbfaf8; --ink: #1c2126; --soft: #5c6670;
  --frame: #ebe8e2; --accent: #0b6b74; }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --ink: #e8eaec;
  --soft: #9aa5b1; --frame: #23282d; --accent: #6fd0d8; } }
* { box-sizing: border-box; margin: 0; }
body { font: 15px/1.45 system-ui, sans-serif; background: var(--back); color: var(--ink);
  max-width: 96rem; margin: 0 auto; padding: 1.25rem; }
header { display: flex; flex-wrap: wrap; gap: 1.25rem; margin-bottom: 1.75rem; }
header > div { flex: 1 1 18rem; max-width: 44rem; display: grid; gap: .5rem;
  align-content: start; }
header figure { flex: none; }
header img { height: 13rem; max-width: 100%; border-radius: .4rem; display: block;
  outline: 3px solid var(--accent); outline-offset: 2px; }
figcaption { margin-top: .5rem; color: var(--accent); font-size: .85rem; }
h1 { font-size: 1.45rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; }
.soft { color: var(--soft); font-size: .87rem; }
main { display: grid; gap: 2rem 2.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
section > .soft { min-height: 2.9em; margin-bottom: .6rem; }
ol { list-style: none; padding: 0; display: grid; gap: 1.1rem .8rem;
  grid-template-columns: repeat(auto-fill, minmax(6.4rem, 1fr)); }
.frame { position: relative; aspect-ratio: 2 / 3; background: var(--frame);
  border-radius: .35rem; overflow: hidden; display: grid; place-items: center; }
.frame img { width: 100%; height: 100%; object-fit: contain; display: block; }
.empty { padding: .6rem; text-align: center; color: var(--soft); font-size: .8rem;
  border: 1px dashed var(--soft); overflow-wrap: anywhere; }
.line { display: flex; justify-content: space-between; align-items: baseline;
  margin-top: .3rem; font-variant-numeric: tabular-nums; }
.title { font-size: .82rem; line-height: 1.3; overflow-wrap: anywhere; display: -webkit-box;
  -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; }
.tag { display: inline-block; margin: .25rem .25rem 0 0; padding: 0 .4rem; font-size: .7rem;
  border: 1px solid var(--accent); border-radius: 1rem; color: var(--accent); }
.note { border-style: dashed; border-color: var(--soft); color: var(--soft); }
"""
