// Package explain is what a proxy says when somebody asks what a request would meet:
// the question, the report, and the report as text. It knows no other part of the
// proxy and finds nothing out itself.
//
//	reports := app.Explain(ctx, explain.Question{Method: "GET", URL: "http://shop/api/users/7"})
//	fmt.Print(reports.Text())
//
// The names of JSON are a promise to programs; the text is for people, and may change.
package explain
