// The senders' own JavaScript libraries: signs or checks one request that comes as JSON on stdin, and prints JSON.
// SENDERS_NODE is the folder whose node_modules hold what package.json names.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(`${process.env.SENDERS_NODE}/package.json`);
const asked = JSON.parse(readFileSync(0, "utf-8"));
const body = Buffer.from(asked.body, "base64");
const text = body.toString("utf-8");
const moment = asked.at * 1000;

// Each library compares the time of the request with this clock.
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [moment]));
  }
  static now() {
    return moment;
  }
};

const libraries = {
  "github-sign": async () => {
    // It lets itself be imported only, and not from a folder that is not its own.
    const entry = `${process.env.SENDERS_NODE}/node_modules/@octokit/webhooks-methods/dist-node/index.js`;
    return (await import(entry)).sign(asked.secret, text);
  },
  "notion-sign": () => require("@notionhq/client").signWebhookPayload({ body, verificationToken: asked.secret }),
  "sanity-sign": () => require("@sanity/webhook").encodeSignatureHeader(text, moment, asked.secret),
  "line-check": () => require("@line/bot-sdk").validateSignature(body, asked.secret, asked.signature),
  "slack-check": () =>
    require("@slack/bolt/dist/receivers/verify-request.js").isValidSlackRequest({
      signingSecret: asked.secret,
      body: text,
      headers: { "x-slack-signature": asked.signature, "x-slack-request-timestamp": asked.at },
    }),
  "hubspot-check": () =>
    require("@hubspot/api-client").Signature.isValid({
      signatureVersion: asked.version,
      signature: asked.signature,
      method: "POST",
      clientSecret: asked.secret,
      requestBody: text,
      url: asked.url,
      timestamp: moment,
    }),
  "paddle-check": async () => {
    const { Paddle } = require("@paddle/paddle-node-sdk");
    return new Paddle("no-key").webhooks.isSignatureValid(text, asked.secret, asked.signature);
  },
  "linear-check": () => {
    const { LinearWebhookClient } = require("@linear/sdk/webhooks");
    return new LinearWebhookClient(asked.secret).verify(body, asked.signature, JSON.parse(text).webhookTimestamp);
  },
  "webflow-check": () => {
    const { WebflowClient } = require("webflow-api");
    return new WebflowClient({ accessToken: "none" }).webhooks.verifySignature({
      headers: { "x-webflow-signature": asked.signature, "x-webflow-timestamp": String(moment) },
      body: text,
      secret: asked.secret,
    });
  },
  "clerk-check": async () => {
    const { verifyWebhook } = require("@clerk/backend/webhooks");
    const request = new Request(asked.url, { method: "POST", headers: asked.headers, body: text });
    return Boolean(await verifyWebhook(request, { signingSecret: asked.secret }));
  },
  "adyen-check": () => {
    const { default: HmacValidator } = require("@adyen/api-library/lib/src/utils/hmacValidator.js");
    return new HmacValidator().validateHMAC(JSON.parse(text), asked.secret);
  },
  "shopify-check": async () => {
    require("@shopify/shopify-api/adapters/node");
    const { shopifyApi, ApiVersion } = require("@shopify/shopify-api");
    const shopify = shopifyApi({
      apiKey: "none",
      apiSecretKey: asked.secret,
      apiVersion: Object.values(ApiVersion)[0],
      hostName: "relay.example.com",
      isEmbeddedApp: false,
      logger: { log: () => {} },
    });
    const rawRequest = { method: "POST", url: "/", headers: asked.headers };
    return (await shopify.webhooks.validate({ rawBody: text, rawRequest, rawResponse: {} })).valid;
  },
  "cloudpayments-check": async () => {
    const { NotificationHandlers } = require("cloudpayments");
    const handlers = new NotificationHandlers({ privateKey: asked.secret, publicId: "none" });
    return Boolean(await handlers.handlePayRequest({ payload: text, signature: asked.signature }));
  },
  "discord-check": () =>
    require("discord-interactions").verifyKey(body, asked.signature, String(asked.at), asked.secret),
};

process.stdout.write(JSON.stringify((await libraries[asked.call]()) ?? null));
process.exit(0);
