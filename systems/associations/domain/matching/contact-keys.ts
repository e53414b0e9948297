/**
 * Phone numbers and web domains in a form that two spellings of one have in common.
 *
 * 1. A phone's key is its last digits: country codes, trunk zeros and extensions do not count. No validity is judged here.
 * 2. A domain that belongs to many (mail providers, social networks, site builders) identifies nobody and gives null.
 */
import { getDomain } from "tldts";
import { isSocial } from "../url.ts";

/** Enough to tell numbers apart, few enough to lie behind every country's codes. */
const PHONE_DIGITS = 9;
const MIN_PHONE_DIGITS = 7;

/** Digits that matter of a phone number, as a number; 0 when there are too few. */
export function phoneKey(phone: string): number {
  const main = firstNumber(phone).replace(/(?:;ext=|\b(?:ext|extension|extn)\b\.?|(?<=\d)\s*[x#])\s*\d+\s*$/i, "");
  const digits = main.replace(/\D+/g, "").replace(/^0+/, "");
  if (digits.length < MIN_PHONE_DIGITS || digits.length > 18) return 0;
  const key = Number(digits.slice(-PHONE_DIGITS));
  // 000000000 and 111111111 are placeholders that people type.
  return /^(\d)\1+$/.test(digits.slice(-MIN_PHONE_DIGITS)) ? 0 : key;
}

/** "419-555-0100 / 419-555-0101": the first; a slash within a number divides nothing. */
function firstNumber(phone: string): string {
  const first = phone.split(/[;|,]|\s(?:or|and|\/|&)\s/i, 1)[0]!;
  return first.replace(/\D+/g, "").length >= MIN_PHONE_DIGITS ? first : phone;
}

const MAIL_PROVIDERS = new Set(
  `gmail.com googlemail.com yahoo.com ymail.com rocketmail.com hotmail.com outlook.com live.com msn.com aol.com icloud.com me.com mac.com
comcast.net verizon.net att.net sbcglobal.net bellsouth.net cox.net charter.net earthlink.net juno.com netzero.net frontier.com
centurylink.net windstream.net optonline.net roadrunner.com rr.com gmx.com gmx.de gmx.net web.de t-online.de freenet.de mail.com
mail.ru yandex.ru yandex.com qq.com 163.com 126.com proton.me protonmail.com zoho.com fastmail.com hey.com btinternet.com sky.com
orange.fr wanadoo.fr free.fr laposte.net libero.it virgilio.it bigpond.com telus.net shaw.ca rogers.com sympatico.ca`.split(
    /\s+/,
  ),
);

/** Site builders that are not in the public suffix list as such; shops, lists and short addresses where many live under one name. */
const SHARED_SITES = new Set(
  `wix.com squarespace.com weebly.com godaddysites.com business.site etsy.com amazon.com ebay.com alibaba.com thomasnet.com wordpress.com
linktr.ee bit.ly tinyurl.com fb.com fb.me g.page vk.com jimdo.com jimdosite.com site123.me strikingly.com tripod.com hubspotpagebuilder.com
toast.site indiamart.com yellowpages.com bbb.org manta.com dnb.com tripadvisor.com opentable.com untappd.com nextdoor.com crunchbase.com
houzz.com`.split(/\s+/),
);

/** The registrable domain of a website, or null when it says nothing about whose it is. */
export function websiteDomain(website: string): string | null {
  const text = website.trim().toLowerCase();
  if (text === "") return null;
  const domain = getDomain(text, { allowPrivateDomains: true, validateHostname: true });
  if (domain === null || SHARED_SITES.has(domain) || MAIL_PROVIDERS.has(domain)) return null;
  return isSocial(`https://${domain}/`) ? null : domain;
}

/** The domain of a company's own mail address; null for mail providers. */
export function emailDomain(email: string): string | null {
  const at = email.lastIndexOf("@");
  return at < 0 ? null : websiteDomain(email.slice(at + 1));
}
