// The endpoint as the original stack has it: Express, a JWT check, a lean Mongoose query, res.json.
const express = require("express");
const jwt = require("jsonwebtoken");
const mongoose = require("mongoose");

const { MONGODB_URI, DATABASE, SECRET, PORT } = process.env;

const Project = mongoose.model(
  "Project",
  new mongoose.Schema(
    {
      owner: { type: mongoose.Schema.Types.ObjectId, index: true },
      name: String,
      projectType: String,
      status: String,
      plan: String,
      totalRequest: { type: Number, default: 0 },
    },
    { timestamps: true, collection: "projects", autoIndex: false },
  ),
);

const app = express();
app.disable("x-powered-by");
app.disable("etag"); // ours has none, and it costs time

app.get("/api/usage", async (request, response) => {
  let owner;
  try {
    const [, token] = (request.headers.authorization ?? "").split(" ");
    owner = jwt.verify(token, SECRET, { algorithms: ["HS256"] }).sub;
  } catch {
    return response.status(401).json({ success: false, message: "Authentication required" });
  }
  const projects = await Project.find({ owner, status: { $ne: "deleted" } })
    .select("name projectType status plan totalRequest createdAt updatedAt")
    .sort({ totalRequest: -1, _id: 1 })
    .lean();
  const totalRequests = projects.reduce((sum, project) => sum + (project.totalRequest || 0), 0);
  response.json({ success: true, totalRequests, projectStats: projects });
});

mongoose.connect(MONGODB_URI, { dbName: DATABASE }).then(() => app.listen(Number(PORT), "127.0.0.1"));
