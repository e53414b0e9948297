"""Counts words. A command agent in Python: input from the file TENUTO_INPUT, output to TENUTO_OUTPUT, standard library only."""

import collections
import json
import os
import re
import sys

with open(os.environ["TENUTO_INPUT"], encoding="utf-8") as file:
    given = json.load(file)

try:
    with open(given["file"], encoding="utf-8") as file:
        text = file.read()
except OSError as error:
    print(f"cannot read the text: {error}", file=sys.stderr)
    # 75: try again later. 78: stop the whole run. Anything else fails this job.
    sys.exit(75)

words = re.findall(r"[a-z']+", text.lower())
top = collections.Counter(words).most_common(given["top"])
print(f"{len(words)} words, {len(set(words))} different")  # goes to the log

with open(os.environ["TENUTO_OUTPUT"], "w", encoding="utf-8") as file:
    json.dump({"words": len(words), "top": [{"word": word, "count": count} for word, count in top]}, file)
